// Draw the charts of the page in the theme of the reader, and again when the theme or the paper changes.

const dark = matchMedia('(prefers-color-scheme: dark)');
const drawn = new Map();
let printing = false;

function theme() {
  return dark.matches && !printing ? 'dark' : 'light';
}

async function draw(panel) {
  const old = drawn.get(panel);
  // `ast` interprets expressions in place of evaluating them: the page's policy allows no evaluation.
  const result = await vegaEmbed(panel, JSON.parse(panel.dataset.chart), {
    actions: false, ast: true, config: THEMES[theme()], renderer: 'svg', defaultStyle: false,
    tooltip: {disableDefaultStyle: true},
  });
  panel.querySelector('svg').setAttribute('aria-hidden', 'true');  // the panel is one picture with a description
  if (old) old.finalize();
  drawn.set(panel, result);
}

/** Draw a chart that was hidden so far. A hidden chart has no width. */
window.drawWhenOpen = panel => drawn.has(panel) || draw(panel);

async function drawAll() {
  const isShown = panel => !panel.closest('dialog:not([open])');
  for (const panel of [...drawn.keys()].filter(one => !isShown(one))) drawn.delete(panel);
  await Promise.all([...document.querySelectorAll('[data-chart]')].filter(isShown).map(draw));
  document.documentElement.dataset.charts = theme();
}

dark.addEventListener('change', drawAll);

/** Fit the charts to their panels. A print does not wait for charts that are drawn anew. */
function fit() {
  for (const [panel, result] of drawn) if (panel.clientWidth) result.view.width(panel.clientWidth).resize().run();
}

addEventListener('beforeprint', () => {
  printing = true;
  document.documentElement.dataset.printing = '';  // narrows the page to the paper's width
  if (dark.matches) drawAll();
  else fit();
});
addEventListener('afterprint', () => {
  printing = false;
  delete document.documentElement.dataset.printing;
  if (dark.matches) drawAll();
  else fit();
});
drawAll();
