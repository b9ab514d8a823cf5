// Sort tables, open the evidence of a cell, page and filter questions, mark the part of the page that is being read.

const PREFIX = {k: 1e3, M: 1e6, G: 1e9, T: 1e12};
const PAGE = 24;  // questions shown at once

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

/** A click on a column's head sorts highest first, then lowest first, then restores the order of the sweep. */
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

/** A click on a cell of the matrix opens the evidence of its row, at its kind of question. */
function makeOpening(link) {
  link.addEventListener('click', event => {
    event.preventDefault();
    const dialog = document.getElementById(link.dataset.evidence);
    const asked = document.getElementById(link.hash.slice(1));
    for (const one of dialog.querySelectorAll('.case')) one.classList.toggle('asked', one === asked);
    dialog.showModal();
    dialog.querySelectorAll('[data-chart]').forEach(drawWhenOpen);
    asked.scrollIntoView({block: 'center'});
    asked.focus({preventScroll: true});
  });
}

function make(tag, text, className) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** A question with its pictures and all answers. Every text is set as text. */
function card(question, data) {
  const article = make('article');
  for (const number of question.pictures) {
    const picture = make('img');
    picture.src = data.pictures[number];
    picture.alt = 'The image of the question';
    article.append(picture);
  }
  article.append(make('p', question.prompt, 'prompt'), make('p', `Right answer: ${question.target}`, 'target'));
  const tags = [question.kind, ...Object.entries(question.tags).map(([name, value]) => `${name} ${value}`)];
  article.append(make('p', tags.filter(Boolean).join(' · '), 'soft'));
  const table = make('table', '', 'answers');
  const head = table.createTHead().insertRow();
  for (const text of ['', 'answer', 'another image']) head.append(make('th', text));
  const body = table.createTBody();
  question.answers.forEach(([answer, right, other], k) => {
    const row = data.rows[k];
    const isRight = 2 * right > row.seeds;
    const line = body.insertRow();
    if (row.sees !== 'image') line.className = 'soft';
    const name = make('th', row.name);
    name.scope = 'row';
    const said = make('td');
    said.append(make('span', isRight ? '✓' : '✗', isRight ? 'right' : 'wrong'), ` ${data.answers[answer]}`);
    if (row.seeds > 1) said.append(make('span', ` ${right}/${row.seeds}`, 'soft'));
    line.append(name, said, make('td', other === undefined ? '' : other === answer ? 'the same' : data.answers[other], 'soft'));
  });
  article.append(table);
  if (question.map !== undefined) {
    const link = make('a', 'The patches that these answers depend on');
    link.href = `#map-${question.map}`;
    const line = make('p');
    line.append(link);
    article.append(line);
  }
  return article;
}

function addOptions(select, values) {
  for (const value of values) {
    const option = make('option', value);
    option.value = value;
    select.append(option);
  }
}

/** Show the questions that match the form, a page at a time. */
function makeExamples(form) {
  const data = JSON.parse(document.getElementById('examples-data').textContent);
  const cards = document.getElementById('cards');
  const fields = form.elements;
  const names = data.rows.map(row => row.name);
  addOptions(fields.wrong, names);
  addOptions(fields.right, names);
  const moved = names.filter((name, k) => data.questions.some(one => one.answers[k].length > 2));
  if (moved.length) addOptions(fields.same, moved);
  else fields.same.parentNode.remove();
  const kinds = [...new Set(data.questions.map(one => one.kind).filter(Boolean))].sort();
  if (kinds.length > 1) addOptions(fields.kind, kinds);
  else fields.kind.parentNode.remove();
  const tags = [...new Set(data.questions.flatMap(one => Object.keys(one.tags)))];
  for (const tag of tags) {
    const label = make('label', tag);
    const select = make('select');
    select.dataset.tag = tag;
    const any = make('option', 'any');
    any.value = '';
    select.append(any);
    const values = [...new Set(data.questions.map(one => one.tags[tag]).filter(Boolean))];
    addOptions(select, values.sort((a, b) => a.localeCompare(b, 'en', {numeric: true})));
    label.append(select);
    document.getElementById('tags').append(label);
  }
  let found = [];
  let page = 0;
  const show = () => {
    cards.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map(one => card(one, data)));
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    document.getElementById('place').textContent = `page ${page + 1} of ${pages}`;
    document.getElementById('previous').disabled = page === 0;
    document.getElementById('next').disabled = page + 1 >= pages;
  };
  const isRight = (one, name) => 2 * one.answers[names.indexOf(name)][1] > data.rows[names.indexOf(name)].seeds;
  const isSame = (one, name) => one.answers[names.indexOf(name)][0] === one.answers[names.indexOf(name)][2];
  const filter = () => {
    const text = fields.text.value.toLowerCase();
    const chosen = [...form.querySelectorAll('[data-tag]')].filter(select => select.value);
    found = data.questions.filter(one => (!fields.wrong.value || !isRight(one, fields.wrong.value))
      && (!fields.right.value || isRight(one, fields.right.value))
      && (!fields.same || !fields.same.value || isSame(one, fields.same.value))
      && (!fields.kind || !fields.kind.value || one.kind === fields.kind.value)
      && chosen.every(select => one.tags[select.dataset.tag] === select.value)
      && (!text || `${one.prompt} ${one.target}`.toLowerCase().includes(text)));
    page = 0;
    form.querySelector('output').textContent = `${found.length.toLocaleString('en')} of ${data.questions.length.toLocaleString('en')} questions`;
    show();
  };
  const turn = step => { page += step; show(); form.scrollIntoView(); };
  document.getElementById('previous').addEventListener('click', () => turn(-1));
  document.getElementById('next').addEventListener('click', () => turn(1));
  form.addEventListener('input', filter);
  form.addEventListener('submit', event => event.preventDefault());
  for (const button of document.querySelectorAll('button[data-wrong]')) {
    button.addEventListener('click', () => {
      form.reset();
      fields.wrong.value = button.dataset.wrong;
      fields.right.value = button.dataset.right;
      if (fields.kind) fields.kind.value = button.dataset.kind;
      filter();
      button.closest('dialog').close();
      form.scrollIntoView();
      fields.wrong.focus({preventScroll: true});
    });
  }
  filter();
}

/** Mark the link to the part of the page that is being read. */
function makeTracking(links) {
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) {
      const link = links.find(one => one.hash === `#${entry.target.id}`);
      if (!link || !entry.isIntersecting) continue;
      for (const one of links) one.removeAttribute('aria-current');
      link.setAttribute('aria-current', 'true');
      const bar = link.parentNode;
      bar.scrollTo({left: link.offsetLeft - bar.clientWidth / 2});
    }
  }, {rootMargin: '-20% 0px -70% 0px'});
  document.querySelectorAll('main > section').forEach(section => seen.observe(section));
}

document.querySelectorAll('table.sortable').forEach(makeSortable);
document.querySelectorAll('a[data-evidence]').forEach(makeOpening);
document.querySelectorAll('#filter').forEach(makeExamples);
makeTracking([...document.querySelectorAll('nav a')]);
// On paper the provenance is told in full; other parts are printed as far as they are open.
addEventListener('beforeprint', () => document.querySelectorAll('#runs details:not([open])').forEach(one => {
  one.open = true;
  one.dataset.closed = '';
}));
addEventListener('afterprint', () => document.querySelectorAll('[data-closed]').forEach(one => {
  one.open = false;
  delete one.dataset.closed;
}));
