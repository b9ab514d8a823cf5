// Draw every chart of the page in the theme of the reader, and again when the theme or the paper changes.

const dark = matchMedia('(prefers-color-scheme: dark)');
const drawn = new Map();
let printing = false;

async function draw(panel, theme) {
  const old = drawn.get(panel);
  // `ast` interprets expressions in place of evaluating them: the page's policy allows no evaluation.
  const result = await vegaEmbed(panel, JSON.parse(panel.dataset.chart), {
    actions: false, ast: true, config: THEMES[theme], renderer: 'svg', defaultStyle: false,
    tooltip: {disableDefaultStyle: true},
  });
  if (old) old.finalize();
  drawn.set(panel, result);
}

async function drawAll() {
  const theme = dark.matches && !printing ? 'dark' : 'light';
  await Promise.all([...document.querySelectorAll('[data-chart]')].map(panel => draw(panel, theme)));
  document.documentElement.dataset.charts = theme;
}

dark.addEventListener('change', drawAll);
addEventListener('beforeprint', () => { printing = true; drawAll(); });
addEventListener('afterprint', () => { printing = false; drawAll(); });
drawAll();
