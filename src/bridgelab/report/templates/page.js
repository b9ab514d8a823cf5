// Sort tables: a click on a column's head sorts highest first, then lowest first, then restores the order of the sweep.

const PREFIX = {k: 1e3, M: 1e6, G: 1e9, T: 1e12};

/** The number that a cell starts with, or its text if it has none. The interval is in a child of its own. */
function cellValue(cell) {
  const text = (cell.firstChild ? cell.firstChild.textContent : '').replace(/\u2212/g, '-').replace(/,/g, '');
  const match = text.match(/([+-]?\d+(?:\.\d+)?)\s*([kMGT]?)(?![A-Za-z])/);
  return match ? Number(match[1]) * (PREFIX[match[2]] || 1) : text;
}

/** Descending; cells without a number come last. */
function compare(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return b - a;
  if (typeof a === 'number') return -1;
  if (typeof b === 'number') return 1;
  return a.localeCompare(b);
}

function makeSortable(table) {
  const original = [...table.tBodies].map(body => [...body.rows]);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.title = 'sort: highest first, lowest first, original order';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const next = {descending: 'ascending', ascending: null}[head.getAttribute('aria-sort')];
      const order = next === undefined ? 'descending' : next;
      for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
      if (order) head.setAttribute('aria-sort', order);
      [...table.tBodies].forEach((body, k) => {
        const rows = [...original[k]];
        if (order) rows.sort((a, b) => compare(cellValue(a.cells[column]), cellValue(b.cells[column])));
        if (order === 'ascending') rows.reverse();
        body.append(...rows);
      });
    });
  });
}

/** Show the questions that match every selected option, and how many they are. */
function makeFilter(form) {
  const cards = [...document.querySelectorAll('article')];
  const selects = [...form.querySelectorAll('select')];
  const matches = (card, select) => select.name === 'kind'
    ? card.dataset.kind === select.value
    : String(JSON.parse(card.dataset.right)[select.name]) === select.value;
  const filter = () => {
    const active = selects.filter(select => select.value);
    for (const card of cards) card.hidden = !active.every(select => matches(card, select));
    const shown = cards.filter(card => !card.hidden).length;
    document.querySelector('output').textContent = `${shown} of ${cards.length} questions`;
  };
  form.addEventListener('change', filter);
  filter();
}

document.querySelectorAll('table').forEach(makeSortable);
document.querySelectorAll('form').forEach(makeFilter);
