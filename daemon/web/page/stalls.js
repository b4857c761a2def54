// The newest stalls, each to be opened. A refresh adds and removes; what is open or has the focus
// stays as it is.
import {clock, element, formatSeconds, formatShare, stallKey, svg} from './dom.js';

const place = (frame) => (frame.file ? `${frame.file}:${frame.line}` : '');

function shares(stall) {
  const causes = Object.entries(stall.causes).sort((a, b) => b[1] - a[1]);
  const bar = svg('svg', {class: 'shares', viewBox: '0 0 1000 12', preserveAspectRatio: 'none',
    'aria-hidden': 'true'});
  let left = 0;
  for (const [cause, seconds] of causes) {
    const width = seconds / stall.duration_seconds * 1000;
    bar.append(svg('rect', {class: `cause-${cause}`, x: left, y: 0, width, height: 12}));
    left += width;
  }
  const list = element('ul', {class: 'legend'});
  for (const [cause, seconds] of causes) {
    if (seconds < stall.duration_seconds * 0.001) continue;
    list.append(element('li', {class: `cause-${cause}`},
        `${cause} ${formatSeconds(seconds)} (${formatShare(seconds / stall.duration_seconds)})`));
  }
  return element('div', {}, bar, list);
}

function facts(stall) {
  const list = element('dl', {class: 'facts'});
  const add = (name, ...values) => {
    if (values.every((value) => value === null || value === undefined || value === '')) return;
    list.append(element('dt', {}, name), element('dd', {}, ...values));
  };
  const expression = stall.culprit?.expression ?? stall.leaf?.expression;
  add('When', `${stall.time} on ${stall.host}`);
  add('Workload', `${stall.workload}, worker ${stall.worker}`);
  add('Process', `pid ${stall.pid}, thread ${stall.tid}, ${stall.comm}`);
  add('Runs', [stall.loop, stall.python && `Python ${stall.python}`].filter(Boolean).join(', '));
  add('Unit', stall.unit);
  add('Container', stall.container);
  add('Expression', expression && element('code', {}, expression));
  add('C function', stall.leaf?.c_function && element('code', {}, stall.leaf.c_function));
  if (stall.wait)
    add('Longest wait', [stall.wait.syscall, stall.wait.target].filter(Boolean).join(' on '));
  add('Task', stall.task && element('code', {}, stall.task));
  if (stall.callbacks) add('Callbacks', `${stall.callbacks.ready} ready in this iteration`);
  if (stall.gc) add('Collection', formatSeconds(stall.gc.seconds));
  if (stall.delayed?.events)
    add('Delayed', `${stall.delayed.events} events, ${formatSeconds(stall.delayed.seconds)} in all`);
  if (stall.blame === 'host') add('Blame', 'the host: the code is only where the loop stood');
  return list;
}

function frames(title, list, culprit) {
  if (!list || list.length === 0) return null;
  const rows = list.map((frame) => element('li', {},
      element('span', {class: culprit && frame.function === culprit.function &&
          frame.file === culprit.file ? 'code culprit' : 'code'}, frame.function),
      element('span', {class: 'quiet'}, ` ${place(frame)}`)));
  return element('div', {}, element('h3', {}, title), element('ol', {class: 'frames'}, ...rows));
}

function contributors(stall) {
  if (!stall.contributors || stall.contributors.length < 2) return null;
  const rows = stall.contributors.map((one) => element('li', {},
      element('span', {class: 'code'}, one.function),
      element('span', {class: 'quiet'}, ` ${formatSeconds(one.seconds)} ${one.cause}, ${place(one)}`)));
  return element('div', {}, element('h3', {}, 'Made up of'), element('ol', {class: 'frames'}, ...rows));
}

function body(stall) {
  const parts = [
    stall.advice ? element('p', {class: 'advice'}, stall.advice) : null,
    shares(stall),
    facts(stall),
    frames('Frames, innermost first', stall.frames, stall.culprit),
    contributors(stall),
    stall.gil_holder ? frames('Who had the interpreter lock', stall.gil_holder.frames) : null,
  ];
  return element('div', {class: 'body'}, ...parts.filter(Boolean));
}

function summary(stall) {
  const culprit = stall.culprit ?? stall.leaf;
  const where = culprit ? `${culprit.function}  ${place(culprit)}` : 'frames not readable';
  return element('summary', {},
      element('span', {}, clock(stall.time)),
      element('span', {class: `badge cause-${stall.cause}`}, stall.cause),
      element('span', {class: 'took'}, formatSeconds(stall.duration_seconds)),
      element('span', {class: 'of', title: stall.workload},
          stall.in_progress ? element('span', {class: 'alarm-text'}, 'running  ') : null,
          stall.workload),
      element('span', {class: 'of code', title: where}, where));
}

export class StallList {
  constructor(box) {
    this.box = box;
    this.entries = new Map();
  }

  entry(stall) {
    const key = stallKey(stall);
    const state = `${stall.in_progress} ${stall.duration_seconds}`;
    let entry = this.entries.get(key);
    if (!entry) {
      const details = element('details', {'data-key': key});
      entry = {details, state: null, stall: null};
      details.addEventListener('toggle', () => this.fill(entry));
      this.entries.set(key, entry);
    }
    if (entry.state === state) return entry;
    const focused = entry.details.contains(document.activeElement);
    entry.state = state;
    entry.stall = stall;
    entry.filled = null;
    entry.details.replaceChildren(summary(stall));
    this.fill(entry);
    if (focused) entry.details.firstChild.focus({preventScroll: true});
    return entry;
  }

  fill(entry) {
    if (!entry.details.open || entry.filled === entry.state) return;
    entry.filled = entry.state;
    entry.details.append(body(entry.stall));
  }

  draw(stalls) {
    const wanted = stalls.map((stall) => this.entry(stall));
    const keep = new Set(wanted);
    for (const [key, entry] of this.entries) {
      if (keep.has(entry)) continue;
      entry.details.remove();
      this.entries.delete(key);
    }
    let at = this.box.firstChild;
    for (const {details} of wanted) {
      if (details === at) at = at.nextSibling;
      else this.box.insertBefore(details, at);
    }
  }

  isOpen(stall) {
    return Boolean(this.entries.get(stallKey(stall))?.details.open);
  }

  open(key) {
    const entry = this.entries.get(key);
    if (!entry) return;
    entry.details.open = true;
    this.fill(entry);
    entry.details.firstChild.focus();
    entry.details.scrollIntoView({block: 'center'});
  }
}
