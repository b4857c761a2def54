// Stalled time by code: the outermost frame on top, below each what it called, and at the end the
// cause. The width is the time.
import {formatSeconds, formatShare, redraw, rove, svg} from './dom.js';

const ROW = 22;
const CHARACTER = 7.3;
const MAX_DEPTH = 90;

function codeOf(file) {
  if (/\/(site|dist)-packages\//.test(file)) return 'code-package';
  if (/\/lib\/python3[^/]*\//.test(file) || file.startsWith('<')) return 'code-library';
  return 'code-own';
}

function child(node, name, kind, file) {
  const key = `${node.key}\u0002${name}\u0001${file}`;
  let found = node.children.get(key);
  if (!found) {
    found = {key, name, kind, file, seconds: 0, stalls: 0, parent: node, children: new Map()};
    node.children.set(key, found);
  }
  return found;
}

export function aggregate(stalls) {
  const root = {key: '', name: 'all stalls', kind: 'code-library', file: '', seconds: 0, stalls: 0,
    parent: null, children: new Map()};
  for (const stall of stalls) {
    const path = [root];
    for (const frame of [...stall.frames].reverse().slice(-MAX_DEPTH))
      path.push(child(path.at(-1), frame.function, codeOf(frame.file), frame.file));
    if (stall.frames.length === 0) path.push(child(root, 'frames not readable', 'code-library', ''));
    path.push(child(path.at(-1), stall.cause, `of-cause cause-${stall.cause}`, ''));
    for (const node of path) {
      node.seconds += stall.duration_seconds;
      node.stalls++;
    }
  }
  return root;
}

export class Flame {
  constructor(box, detail, unzoom) {
    this.box = box;
    this.detail = detail;
    this.unzoom = unzoom;
    this.zoom = '';
    this.nodes = new Map();
    rove(box, '.node', (element, key, elements) => this.move(element, key, elements), (element) => {
      this.zoomTo(element.dataset.key === this.zoom ? '' : element.dataset.key);
    });
    box.addEventListener('focusin', (event) => this.show(event.target));
    box.addEventListener('pointerover', (event) => this.show(event.target));
    box.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.zoom) this.zoomTo('');
    });
    unzoom.addEventListener('click', () => {
      this.zoomTo('');
      box.querySelector('.node')?.focus();
    });
  }

  zoomTo(key) {
    this.zoom = key;
    this.draw(this.root);
  }

  show(target) {
    const node = this.nodes.get(target.closest?.('.node')?.dataset.key);
    if (node) this.detail.textContent = this.describe(node);
  }

  describe(node) {
    const where = node.file ? ` (${node.file})` : '';
    const times = node.stalls === 1 ? '1 stall' : `${node.stalls} stalls`;
    return `${node.name}${where}: ${formatSeconds(node.seconds)}, ${
        formatShare(node.seconds / this.root.seconds)} of the stalled time, ${times}`;
  }

  move(element, key, elements) {
    const node = this.nodes.get(element.dataset.key);
    const find = (wanted) => elements.find((one) => one.dataset.key === wanted?.key);
    const siblings = node?.parent ? sorted(node.parent) : [];
    if (key === 'ArrowUp') return find(node?.parent) ?? element;
    if (key === 'ArrowDown') return node && (sorted(node).map(find).find(Boolean) ?? element);
    if (key === 'ArrowLeft') return find(siblings[siblings.indexOf(node) - 1]) ?? element;
    if (key === 'ArrowRight') return find(siblings[siblings.indexOf(node) + 1]) ?? element;
    return undefined;
  }

  draw(root) {
    this.root = root;
    this.nodes.clear();
    if (!root || root.seconds === 0) {
      this.detail.textContent = '';
      this.unzoom.hidden = true;
      redraw(this.box, null, '.node');
      return;
    }
    const all = new Map();
    collect(root, all);
    const top = all.get(this.zoom) ?? root;
    this.zoom = top.key;
    this.unzoom.hidden = top === root;
    const width = Math.max(this.box.clientWidth - 14, 260);
    const rows = [];
    this.lay(top, 0, 0, width, rows);
    const height = (Math.max(...rows.map((row) => row.depth)) + 1) * ROW;
    const drawing = svg('svg', {width, height, viewBox: `0 0 ${width} ${height}`, role: 'group',
      preserveAspectRatio: 'xMinYMin', 'aria-label': 'Stalled time by code'}, ...rows.map((row) => this.box_of(row)));
    redraw(this.box, drawing, '.node');
  }

  lay(node, depth, left, width, rows) {
    if (width < 1.5) return;
    rows.push({node, depth, left, width});
    for (const one of sorted(node)) {
      const part = width * one.seconds / node.seconds;
      this.lay(one, depth + 1, left, part, rows);
      left += part;
    }
  }

  box_of({node, depth, left, width}) {
    this.nodes.set(node.key, node);
    const room = Math.floor((width - 8) / CHARACTER);
    const name = node.name.length <= room ? node.name : `${node.name.slice(0, room - 1)}…`;
    return svg('g', {class: `node ${node.kind}`, 'data-key': node.key, role: 'button', tabindex: -1,
      'aria-label': this.describe(node)},
    svg('title', {}, this.describe(node)),
    svg('rect', {x: left, y: depth * ROW, width, height: ROW - 1}),
    room >= 3 ? svg('text', {x: left + 5, y: depth * ROW + 15}, name) : null);
  }
}

function sorted(node) {
  return [...node.children.values()].sort((a, b) => b.seconds - a.seconds || (a.key < b.key ? -1 : 1));
}

function collect(node, all) {
  all.set(node.key, node);
  for (const one of node.children.values()) collect(one, all);
}
