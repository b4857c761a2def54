// When stalls were and how long they took: time to the right, length upwards on a logarithmic scale.
import {clock, element, formatSeconds, redraw, rove, stallKey, svg} from './dom.js';

const HEIGHT = 190;
const LEFT = 56;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 26;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400];
const LENGTHS = [0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600, 3600];

export function describe(stall) {
  const who = stall.culprit ? ` in ${stall.culprit.function}` : '';
  const state = stall.in_progress ? ', still running' : '';
  return `${clock(stall.time)}, ${formatSeconds(stall.duration_seconds)}, ${stall.cause}${who}, ${
      stall.workload}${state}`;
}

export class Timeline {
  constructor(box, open) {
    this.box = box;
    rove(box, '.mark', (node, key, nodes) => {
      const at = nodes.indexOf(node);
      if (key === 'ArrowRight' || key === 'ArrowUp') return nodes[Math.min(at + 1, nodes.length - 1)];
      if (key === 'ArrowLeft' || key === 'ArrowDown') return nodes[Math.max(at - 1, 0)];
      if (key === 'Home') return nodes[0];
      if (key === 'End') return nodes[nodes.length - 1];
      return undefined;
    }, (node) => open(node.dataset.key));
  }

  // `now` and `span` in seconds; span 0: as far back as the stalls go. Returns how many are shown.
  draw(stalls, now, span) {
    const start = (stall) => Date.parse(stall.time) / 1000;
    const shown = stalls.filter((stall) => !span || start(stall) >= now - span);
    if (shown.length === 0) {
      redraw(this.box, null, '.mark');
      return 0;
    }
    shown.sort((a, b) => start(a) - start(b));
    const width = Math.max(this.box.clientWidth, 280);
    const from = span ? now - span : Math.min(start(shown[0]) - 2, now - 30);
    const shortest = Math.min(...shown.map((stall) => stall.duration_seconds)) * 0.7;
    const longest = Math.max(...shown.map((stall) => stall.duration_seconds), shortest * 4) * 1.4;
    const x = (time) => LEFT + (time - from) / (now - from) * (width - LEFT - RIGHT);
    const bottom = HEIGHT - BOTTOM;
    const y = (length) => bottom -
        Math.log(length / shortest) / Math.log(longest / shortest) * (bottom - TOP);

    const drawing = svg('svg', {
      width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: 'group',
      'aria-label': `${shown.length} stalls by time`,
    });
    for (const length of LENGTHS.filter((one) => one > shortest && one < longest))
      drawing.append(svg('line', {class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(length), y2: y(length)}),
          svg('text', {x: LEFT - 8, y: y(length) + 4, 'text-anchor': 'end'}, formatSeconds(length)));
    drawing.append(svg('line', {class: 'grid', x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom}));
    const step = STEPS.find((one) => (now - from) / one <= width / 110) ?? STEPS.at(-1);
    for (let time = Math.ceil(from / step) * step; time <= now; time += step)
      drawing.append(svg('text', {x: x(time), y: HEIGHT - 8, 'text-anchor': 'middle'},
          step < 60 ? clock(time * 1000) : clock(time * 1000).slice(0, 5)));
    for (const stall of shown) {
      const at = x(start(stall));
      const top = y(stall.duration_seconds);
      drawing.append(svg('g', {
        class: `mark cause-${stall.cause}${stall.in_progress ? ' running' : ''}`,
        'data-key': stallKey(stall), role: 'button', tabindex: -1, 'aria-label': describe(stall),
      },
      svg('title', {}, describe(stall)),
      svg('line', {x1: at, x2: at, y1: bottom, y2: top}),
      svg('circle', {cx: at, cy: top, r: 6})));
    }
    redraw(this.box, drawing, '.mark');
    return shown.length;
  }
}

export function drawLegend(list, stalls) {
  const causes = [...new Set(stalls.map((stall) => stall.cause))].sort();
  list.replaceChildren(...causes.map((cause) => element('li', {class: `cause-${cause}`}, cause)));
}
