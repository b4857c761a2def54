// Elements, numbers and keys. Every text of a traced program goes in as text, never as markup.
const SVG = 'http://www.w3.org/2000/svg';

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function element(name, attributes = {}, ...children) {
  return build(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return build(document.createElementNS(SVG, name), attributes, children);
}

export const byId = (id) => document.getElementById(id);

export function formatSeconds(value) {
  if (value < 0.0009995) return `${Math.round(value * 1e6)} µs`;
  if (value < 0.9995) return `${Number((value * 1000).toPrecision(3))} ms`;
  if (value < 119.5) return `${Number(value.toPrecision(3))} s`;
  if (value < 7170) return `${Math.round(value / 60)} min`;
  return `${Number((value / 3600).toPrecision(3))} h`;
}

export const formatCount = (value) => value.toLocaleString('en');

export function formatShare(value) {
  const percent = value * 100;
  return percent > 0 && percent < 0.95 ? '<1 %' : `${Math.round(percent)} %`;
}

export const clock = (time) => new Date(time).toLocaleTimeString('en-GB');

export const stallKey = (stall) => `${stall.pid}-${stall.tid}-${stall.monotonic_ns}`;

// One tab stop for many nodes with data-key: `move(node, key)` says where an arrow key leads.
export function rove(box, selector, move, activate) {
  const nodes = () => [...box.querySelectorAll(selector)];
  const choose = (node, focus) => {
    if (!node) return;
    for (const other of nodes()) other.setAttribute('tabindex', other === node ? '0' : '-1');
    if (focus) node.focus({preventScroll: false});
  };
  box.addEventListener('keydown', (event) => {
    const node = event.target.closest(selector);
    if (!node) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      activate(node);
      return;
    }
    const next = move(node, event.key, nodes());
    if (next === undefined) return;
    event.preventDefault();
    choose(next, true);
  });
  box.addEventListener('click', (event) => {
    const node = event.target.closest(selector);
    if (node) activate(node);
  });
}

// Puts a new drawing in the place of the old one; what had the focus has it again.
export function redraw(box, drawing, selector) {
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.closest?.(selector)?.dataset.key;
  const stop = box.querySelector(`${selector}[tabindex="0"]`)?.dataset.key;
  box.replaceChildren(...(drawing ? [drawing] : []));
  const nodes = [...box.querySelectorAll(selector)];
  const find = (wanted) => nodes.find((node) => node.dataset.key === wanted);
  (find(key ?? stop) ?? nodes[0])?.setAttribute('tabindex', '0');
  if (key !== undefined) (find(key) ?? nodes[0])?.focus({preventScroll: true});
}
