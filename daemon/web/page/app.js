// What the page shows is what /api/v1 says, asked anew every two seconds.
import {byId, element, formatCount, formatSeconds, formatShare, stallKey, svg} from './dom.js';
import {aggregate, Flame} from './flame.js';
import {StallList} from './stalls.js';
import {drawLegend, Timeline} from './timeline.js';

const EVERY_MS = 2000;
const TIMEOUT_MS = 10000;
const LIMIT = 500;
const SHOWN = 25;
const CAUSES = ['cpu', 'gc', 'import', 'gil', 'lock', 'sleep', 'network', 'disk', 'pipe', 'subprocess',
  'page_fault', 'run_queue', 'throttled', 'stopped', 'other', 'unknown',
  'system'];

const state = {
  status: null, loops: [], stalls: [], asked: '', known: new Set(), shown: SHOWN, paused: false,
  pressed: false, offset: 0, timer: 0, turn: 0,
};
const filter = {workload: '', cause: ''};
const list = new StallList(byId('stalls'));
const timeline = new Timeline(byId('timeline'), (key) => {
  const at = state.stalls.findIndex((stall) => stallKey(stall) === key);
  state.shown = Math.max(state.shown, at + 1);
  drawStalls();
  list.open(key);
});
const flame = new Flame(byId('flame'), byId('flame-detail'), byId('unzoom'));

async function get(path) {
  let answer;
  try {
    answer = await fetch(path, {signal: AbortSignal.timeout(TIMEOUT_MS), cache: 'no-store'});
  } catch (error) {
    throw new Error(`the daemon cannot be reached: ${error.message}`);
  }
  if (!answer.ok) throw new Error(`the daemon answers ${path} with ${answer.status}`);
  const date = Date.parse(answer.headers.get('date') ?? '');
  if (date) state.offset = date - Date.now();
  return answer.json();
}

async function refresh() {
  const mine = ++state.turn;
  const [status, loops] = await Promise.all([get('api/v1/status'), get('api/v1/loops')]);
  const asked = new URLSearchParams({limit: LIMIT});
  for (const [name, value] of Object.entries(filter)) if (value) asked.set(name, value);
  const wanted = `${asked} ${status.reports}`;
  const stalls = wanted === state.asked ? state.stalls : await get(`api/v1/stalls?${asked}`);
  if (mine !== state.turn) return false;  // a newer one is on its way
  Object.assign(state, {status, loops, stalls, asked: wanted});
  return true;
}

async function turn() {
  clearTimeout(state.timer);
  try {
    if (!document.hidden && !state.paused) {
      // Nothing is drawn between the press and the release of a button.
      const fresh = await refresh();
      for (let i = 0; state.pressed && i < 40; i++) await new Promise((done) => setTimeout(done, 50));
      if (fresh) draw();
    }
    showState(null);
  } catch (error) {
    showState(error);
  }
  clearTimeout(state.timer);
  state.timer = setTimeout(turn, EVERY_MS);
}

function showState(error) {
  const pill = byId('state');
  const text = error ? 'not up to date' : state.paused ? 'paused' : 'live';
  if (pill.textContent !== text) pill.textContent = text;
  pill.className = `pill ${error ? 'gone' : state.paused ? '' : 'live'}`;
  const banner = byId('gone');
  const seen = state.status ? ' What is below is the last that was seen.' : '';
  const what = `This page is not up to date: ${error?.message ?? ''}. Trying again every two seconds.${seen}`;
  if (error && banner.hidden) banner.textContent = what;
  banner.hidden = !error;
  byId('content').classList.toggle('stale', Boolean(error));
}

const matches = (one) => !filter.workload || one.workload === filter.workload;

function empty(id, text) {
  const note = byId(id);
  note.hidden = !text;
  if (text && note.textContent !== text) note.textContent = text;
}

function draw() {
  byId('where').textContent = `${state.status.host} · version ${state.status.version}`;
  document.title = `${state.status.host} · loopsight`;
  drawChoices();
  drawTiles();
  drawLoops();
  drawStalls();
}

function drawTiles() {
  const loops = state.loops.filter(matches);
  const stuck = loops.filter((loop) => loop.stalled_seconds > 0);
  const lost = state.stalls.reduce((sum, stall) => sum + stall.duration_seconds, 0);
  const worst = state.stalls.reduce((most, stall) => Math.max(most, stall.duration_seconds), 0);
  const tile = (value, text, alarm) => element('div', {class: alarm ? 'tile alarm' : 'tile'},
      element('b', {}, value), element('span', {}, text));
  byId('tiles').replaceChildren(
      tile(formatCount(loops.length), loops.length === 1 ? 'loop watched' : 'loops watched'),
      tile(formatCount(stuck.length), 'stalled right now', stuck.length > 0),
      tile(formatCount(state.stalls.length) + (state.stalls.length === LIMIT ? '+' : ''),
          `stalls over ${formatSeconds(state.status.threshold_seconds)}${
              lost ? `, ${formatSeconds(lost)} in all` : ''}`),
      tile(worst ? formatSeconds(worst) : '–', 'the longest of them'));
}

function meter(share) {
  if (share === null) return element('span', {class: 'quiet'}, 'not known yet');
  const level = share >= 0.9 ? ' full' : share >= 0.6 ? ' high' : '';
  return element('span', {class: `meter${level}`},
      svg('svg', {width: 72, height: 8, viewBox: '0 0 72 8', preserveAspectRatio: 'none',
        'aria-hidden': 'true'},
          svg('rect', {width: Math.max(share * 72, share > 0 ? 1 : 0), height: 8})),
      formatShare(share));
}

function drawLoops() {
  const loops = state.loops.filter(matches);
  const urgent = (loop) => loop.stalled_seconds * 1000 + (loop.utilisation ?? 0);
  loops.sort((a, b) => urgent(b) - urgent(a));
  byId('loops-box').hidden = loops.length === 0;
  empty('loops-empty', loops.length ? '' : filter.workload ?
      'No loop of this workload is alive.' :
      'No event loop is seen yet. Start an asyncio program on this host: it shows up within seconds.');
  const rows = loops.map((loop) => element('tr', {},
      element('td', {class: 'name'}, loop.workload),
      element('td', {class: 'number wide'}, String(loop.worker)),
      element('td', {class: 'number wide'}, String(loop.pid)),
      element('td', {class: 'wide'}, [loop.loop, loop.python].filter(Boolean).join(' · ')),
      element('td', {}, meter(loop.utilisation)),
      element('td', {class: 'number wide'}, formatCount(loop.iterations)),
      element('td', {class: 'number'}, formatCount(loop.stalls)),
      loop.stalled_seconds > 0 ?
        element('td', {class: 'alarm-text'}, `stalled for ${formatSeconds(loop.stalled_seconds)}`) :
        element('td', {class: 'good-text'}, 'running')));
  byId('loops').tBodies[0].replaceChildren(...rows);
}

function drawStalls() {
  const {stalls} = state;
  const filtered = Boolean(filter.workload || filter.cause);
  const threshold = formatSeconds(state.status?.threshold_seconds ?? 0.05);
  empty('stalls-empty', stalls.length ? '' : filtered ? 'No stall that is kept matches the filters.' :
    `No loop has stalled for more than ${threshold} yet.`);
  for (const id of ['timeline-section', 'flame-section']) byId(id).hidden = stalls.length === 0;
  // What somebody reads stays, however many newer ones come.
  list.draw(stalls.filter((stall, at) => at < state.shown || list.isOpen(stall)));
  byId('more').hidden = stalls.length <= state.shown;
  byId('shown').textContent = !stalls.length ? '' :
    `${formatCount(stalls.length)} of ${formatCount(state.status.stalls_kept)} kept stalls`;
  drawLegend(byId('legend'), stalls);
  flame.draw(aggregate(stalls));
  const now = (Date.now() + state.offset) / 1000;
  const count = timeline.draw([...stalls], now, Number(byId('span').value));
  empty('timeline-empty', count ? '' : 'No stall in this time.');
}

function drawChoices() {
  for (const one of [...state.loops, ...state.stalls]) state.known.add(one.workload);
  if (filter.workload) state.known.add(filter.workload);
  choices(byId('workload'), [...state.known].sort(), filter.workload);
  choices(byId('cause'), CAUSES, filter.cause);
}

// Only what changed, so that an open list stays open.
function choices(select, values, chosen) {
  const have = [...select.options].slice(1).map((option) => option.value);
  if (have.join('\n') !== values.join('\n'))
    select.replaceChildren(select.options[0], ...values.map((value) => element('option', {value}, value)));
  select.value = chosen;
}

function applyFilter() {
  filter.workload = byId('workload').value;
  filter.cause = byId('cause').value;
  const address = new URLSearchParams(Object.entries(filter).filter(([, value]) => value));
  history.replaceState(null, '', address.size ? `#${address}` : location.pathname);
  state.shown = SHOWN;
  turn();
}

function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  filter.workload = (address.get('workload') ?? '').slice(0, 128);
  filter.cause = CAUSES.includes(address.get('cause')) ? address.get('cause') : '';
}

byId('filters').addEventListener('submit', (event) => event.preventDefault());
byId('workload').addEventListener('change', applyFilter);
byId('cause').addEventListener('change', applyFilter);
byId('clear').addEventListener('click', () => {
  byId('workload').value = '';
  byId('cause').value = '';
  applyFilter();
});
byId('span').addEventListener('change', () => drawStalls());
byId('more').addEventListener('click', () => {
  state.shown += SHOWN;
  drawStalls();
});
byId('pause').addEventListener('click', () => {
  state.paused = !state.paused;
  byId('pause').setAttribute('aria-pressed', String(state.paused));
  turn();
});
document.addEventListener('visibilitychange', () => document.hidden || turn());
document.addEventListener('pointerdown', () => { state.pressed = true; });
for (const end of ['pointerup', 'pointercancel'])
  document.addEventListener(end, () => { state.pressed = false; });
window.addEventListener('resize', () => state.status && drawStalls());
window.addEventListener('hashchange', () => {
  readAddress();
  turn();
});
readAddress();
turn();
