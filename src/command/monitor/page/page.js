'use strict';
const SECOND = 1000, MINUTE = 60 * SECOND;
/** Seconds before each attempt to reconnect; when all have failed the page polls, less often while it is hidden. */
const BACKOFF = [1, 2, 4, 8, 16], POLL = 10, POLL_HIDDEN = 30;
/** The monitor speaks every 5 s: a socket that says nothing for so long is given up. So is a request to a stopped monitor. */
const SILENCE = 20 * SECOND, PATIENCE = 8 * SECOND;
const PAGE = 50, PAGE_MOST = 500, EVENTS = 100;
const $ = selector => document.querySelector(selector);
const fill = (node, children) => { node.append(...children); return node; };
const make = (tag, properties = {}, ...children) => fill(Object.assign(document.createElement(tag), properties), children);
const svg = (tag, attributes, ...children) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return fill(node, children);
};
/** All three change only what differs, so that a tick costs no layout. */
const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const flag = (node, name, value) => { if (node.getAttribute(name) !== value) node.setAttribute(name, value); };
const paintTone = (node, tone) => (tone ? flag(node, 'data-tone', tone) : node.removeAttribute('data-tone'));

// ---- Words
const count = new Intl.NumberFormat('en').format;
const some = (n, noun) => `${count(n)} ${noun}${n === 1 ? '' : 's'}`;
const clock = more => new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', ...more }).format;
const [minuteOf, secondOf, dayOf] = [{}, { second: '2-digit' }, { day: 'numeric', month: 'short' }].map(clock);
const moment = at => (new Date(at).toDateString() === new Date().toDateString() ? secondOf : dayOf)(at);
/** A length of time in one unit, coarse enough for a column and never coarser than by half. */
function span(ms) {
    const s = Math.max(0, Math.floor(ms / SECOND)), m = Math.floor(s / 60), h = Math.floor(m / 60);
    return s < 60 ? `${s} s` : m < 120 ? `${m} min` : h < 48 ? `${h} h` : `${Math.floor(h / 24)} d`;
}
const ago = (at, now) => (at === null ? 'none yet' : now - at < SECOND ? 'now' : `${span(now - at)} ago`);
function bytes(n) {
    const step = Math.min(3, Math.floor(Math.log2(Math.max(1, n)) / 10));
    return some(n, 'byte') + (step ? ` (${(n / 1024 ** step).toFixed(1)} ${['', 'KiB', 'MiB', 'GiB'][step]})` : '');
}
const TONES = {
    starting: 'work', serving: 'good', draining: 'work', crashed: 'bad', waiting: 'warn', degraded: 'bad', stopping: 'work',
    closed: 'past', lost: 'bad', restarted: 'warn', expired: 'bad', recovered: 'good', greeted: 'good',
};
const ENDINGS = {
    host_eof: 'the host closed its connection', host_gone: 'the host is gone', signal: 'a signal ended it',
    asked: 'it was asked to stop', lost: 'the supervisor died without a word',
};
const isOpen = row => row.closed_at === null, groupOf = row => (isOpen(row) ? 'open' : 'closed');
const state = row => (isOpen(row) ? row.phase : row.close_reason === 'lost' ? 'lost' : 'closed');
/** What keeps a server from its API, in words: none where nothing is known to, or it no longer matters. */
function away(row) {
    const matters = isOpen(row) && !['stopping', 'stopped'].includes(row.phase);
    return matters && ['locked', 'unreachable'].includes(row.api_state) ? `API ${row.api_state}` : '';
}
const stateWords = row => [state(row), away(row)].filter(Boolean).join(', ');
const join = (...parts) => parts.filter(Boolean).join(' ') || '\u2013';
const lasted = (row, now) => span((row.closed_at ?? now) - row.created_at);
/** The session token in words, none where it does not matter, and how much it deserves a look. */
function token(row, now) {
    if (row.token_state === 'none' || !isOpen(row)) return ['', ''];
    if (row.token_state === 'unknown') return ['not known yet', ''];
    if (row.token_state === 'absent') return ['no token', 'bad'];
    const left = (row.token_expires_at ?? Infinity) - now;
    if (row.token_state === 'expired' || left <= 0) return ['expired', 'bad'];
    return left === Infinity ? ['never expires', ''] : [`expires in ${span(left)}`, left < 5 * MINUTE ? 'warn' : ''];
}

// ---- What is known
const rows = new Map(), views = new Map();
/** The rows to paint in the next frame, and those that messages told of since the running load began. */
const dirty = new Set(), told = new Set();
/** Events by their own words, since they have no number: the same one comes in a list and in a message. */
const events = new Map(), detailEvents = new Map();
const newestFirst = map => [...map].sort(([, a], [, b]) => b.at - a.at);
const older = { cursor: null, loaded: 0 };
let health = null, loaded = false, chosen = null, current = null, lastWord = 0;
/** A later sign of life wins. Closing counts as one, because a lost supervisor's own last one is long ago. */
const stamp = row => Math.max(row.alive_at, row.closed_at ?? 0);
function take(row, listed) {
    const held = rows.get(row.id), later = held ? stamp(row) - stamp(held) : 1;
    // A list may have been made before the message that came while it was on its way.
    if (later < 0 || (later === 0 && ((listed && told.has(row.id)) || (!isOpen(held) && isOpen(row))))) return;
    // A session that is new may have counted before it was first heard; what is listed is in the charts already.
    const before = held ?? (listed ? row : { tool_calls: 0, restarts: 0 });
    if (before.tool_calls !== row.tool_calls || before.restarts !== row.restarts) historySoon();
    if (held?.phase !== row.phase) asked.delete(row.id);
    if (held ? stateWords(held) !== stateWords(row) : !listed) announce(`${row.name}: ${stateWords(row)}`);
    if (!listed) told.add(row.id);
    rows.set(row.id, row); repaint(row.id);
}
function takeEvents(into, list) {
    for (const event of list) into.set(JSON.stringify([event.session, event.at, event.kind, event.text]), event);
    for (const [key] of newestFirst(into).slice(EVENTS)) into.delete(key);
    repaint();
}
function receive(message) {
    const { session, event } = message; lastWord = Date.now();
    if (session) take(session, false);
    if (message.health) health = message.health;
    if (event) takeEvents(events, [{ ...event, name: session.name }]);
    if (event?.session === chosen) takeEvents(detailEvents, [event]);
    if (event?.kind === 'restarted') asked.delete(event.session);
    repaint(session?.id);
}

// ---- Loading
let loading = new AbortController(), historyTimer = 0, historyIsDue = false;
const pathOf = id => `/api/sessions/${encodeURIComponent(id)}`;
async function get(path, signal = loading.signal) {
    const answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]) });
    const body = await answer.json().catch(() => ({}));
    signal.throwIfAborted();
    if (!answer.ok) throw Object.assign(new Error(body.error ?? `the monitor answered ${answer.status}`), { status: answer.status });
    return body;
}
const busy = is => flag($('table'), 'aria-busy', String(is));
/** Asks for everything anew. A load that is overtaken by a later one changes nothing any more, and yields false. */
async function load() {
    loading.abort(); told.clear(); busy(true);
    const { signal } = loading = new AbortController();
    const eventsToo = get(`/api/events?limit=${EVENTS}`).then(body => takeEvents(events, body.events));
    const healthToo = get('/health/deep').then(body => { health = body; });
    try {
        await Promise.all([loadSessions(signal), eventsToo, healthToo, loadHistory(), chosen && loadDetail(chosen)]);
        lastWord = Date.now(); repaint();
    } catch (error) { if (!signal.aborted) throw error; } finally { if (!signal.aborted) busy(false); }
    return !signal.aborted;
}
/** Takes as many sessions as are wanted, newest first, from `cursor` on, and returns their ids and the next cursor. */
async function loadPages(status, wanted, cursor, signal) {
    const ids = [];
    do {
        const query = { status, limit: Math.min(PAGE_MOST, wanted - ids.length), ...(cursor && { cursor }) };
        const page = await get(`/api/sessions?${new URLSearchParams(query)}`, signal);
        for (const row of page.sessions) take(row, true);
        ids.push(...page.sessions.map(({ id }) => id));
        cursor = page.next_cursor;
    } while (cursor && ids.length < wanted);
    return { ids, cursor };
}
const unreadable = error => { if (error.status !== 503) throw error; }; // The record, for now: what is known stays.
/** The open ones first: a session that closes in between is then in one of the two lists or in both, never in none. */
async function loadSessions(signal) {
    const open = await loadPages('active', Infinity, null, signal), listed = new Set(open.ids);
    // As many closed ones as there were before, so that a reload leaves no gap.
    const closed = await loadPages('closed', Math.max(PAGE, older.loaded), null, signal).catch(unreadable);
    if (closed) Object.assign(older, { cursor: closed.cursor, loaded: closed.ids.length });
    // What was open and is in neither list has closed while nobody looked, and stands further down among the closed.
    const missing = [...rows.values()].filter(row => isOpen(row) && !listed.has(row.id) && !told.has(row.id));
    await Promise.all(missing.map(({ id }) => get(pathOf(id), signal).then(({ session }) => take(session, true), error => {
        if (error.status === 404) { rows.delete(id); repaint(id); } else unreadable(error);
    })));
    loaded = true;
}
async function loadMore() {
    const from = older.cursor, page = await loadPages('closed', PAGE, from).catch(() => null);
    put($('#more'), page ? 'Load more closed sessions' : 'Not loaded, try again');
    if (page && older.cursor === from) Object.assign(older, { cursor: page.cursor, loaded: older.loaded + page.ids.length });
    repaint();
}
async function loadDetail(id) {
    try {
        const body = await get(pathOf(id));
        if (id !== chosen) return;
        take(body.session, true); takeEvents(detailEvents, body.events); put($('#detail > p'), 'None yet.');
    } catch (error) {
        if (id === chosen && error.name !== 'AbortError') put($('#detail > p'), `Not loaded: ${error.message}.`);
        if (error.status !== 404) throw error;
    }
}
async function loadHistory() {
    clearTimeout(historyTimer); historyTimer = setTimeout(historySoon, MINUTE); drawCharts(await get('/api/history'));
}
/** Counters have changed: the charts follow within seconds, whatever the number of changes. */
function historySoon() {
    if (!historyIsDue) setTimeout(() => { historyIsDue = false; loadHistory().catch(() => {}); }, 3 * SECOND);
    historyIsDue = true;
}

// ---- The connection
let socket = null, attempts = 0, polling = false, timer = 0, wordsTimer = 0, watchdog = 0;
/** Says in words how current the page is. Only another kind of words is announced, and no second of a countdown. */
function say(words, tone) {
    const before = $('#connection').textContent, kind = text => text.replace(/ in.*/, '');
    if (before !== 'connecting' && kind(before) !== kind(words)) announce(words);
    put($('#connection'), words); paintTone($('#connection'), tone); repaint();
}
function connect() {
    const mine = socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws/sessions`);
    const catchUp = () => load().catch(() => setTimeout(() => socket === mine && catchUp(), 5 * SECOND));
    const lost = () => { mine.close(); dropped(mine); };
    watchdog = setTimeout(lost, SILENCE);
    mine.onclose = () => dropped(mine);
    mine.onopen = () => { polling = false; clearTimeout(timer); say('live', 'good'); catchUp(); };
    mine.onmessage = ({ data }) => {
        // Only a monitor that speaks ends the backoff: one that accepts and hangs up would be asked each second.
        attempts = 0;
        clearTimeout(watchdog); watchdog = setTimeout(lost, SILENCE);
        receive(JSON.parse(data));
    };
}
function dropped(mine) {
    if (socket !== mine) return;
    socket = null; clearTimeout(watchdog);
    // While the page polls, the next poll tries the socket again.
    if (polling) return;
    if (!loaded) load().catch(() => {});
    if (attempts === BACKOFF.length) return void poll();
    const seconds = BACKOFF[attempts++];
    countdown(seconds);
    timer = setTimeout(() => { clearTimeout(wordsTimer); say('reconnecting', 'work'); connect(); }, seconds * SECOND);
}
function countdown(seconds) {
    say(`reconnecting in ${seconds} s`, 'warn');
    wordsTimer = seconds > 1 ? setTimeout(countdown, SECOND, seconds - 1) : 0;
}
async function poll() {
    const seconds = document.hidden ? POLL_HIDDEN : POLL, words = `polling every ${seconds} s`;
    clearTimeout(timer); timer = setTimeout(poll, seconds * SECOND);
    if (!polling) say(words, 'warn');
    polling = true;
    if (!socket) connect();
    const outcome = await load().catch(() => 'failed');
    if (outcome && polling) say(...(outcome === 'failed' ? ['monitor not reachable', 'bad'] : [words, 'warn']));
}

// ---- Restarting a server
/** What was asked of a session: the word on its button while that is under way, or the trouble that came of it. */
const asked = new Map();
let pageToken = $('meta[name=monitor-token]').content;
const post = id => fetch(`${pathOf(id)}/restart`, { method: 'POST', headers: { 'X-Monitor-Token': pageToken } });
async function restart(id) {
    if (asked.get(id)?.word) return;
    const note = (word, trouble) => { asked.set(id, { word, trouble }); repaint(id); };
    let trouble = ''; note('Asking');
    try {
        let answer = await post(id);
        if (answer.status === 403) {
            // Each run of the monitor has a token of its own, and the page may be older than the run.
            const page = await (await fetch('/', { cache: 'no-store' })).text();
            pageToken = page.match(/<meta name="monitor-token" content="([^"]*)">/)?.[1] ?? pageToken;
            answer = await post(id);
        }
        const { error = `the monitor answered ${answer.status}`, hint = '' } = await answer.json().catch(() => ({}));
        if (!answer.ok) trouble = `Not restarted: ${error.replace(/\.$/, '')}. ${hint}`.trim();
    } catch { trouble = 'Not restarted: the monitor does not answer. Is mcp-supervise monitor still running?'; }
    note(trouble ? '' : 'Restarting', trouble);
    announce(`${rows.get(id)?.name}: ${trouble || 'restart asked for'}`);
    // A server that restarts between two updates shows no other phase.
    if (!trouble) setTimeout(() => { if (asked.get(id)?.word === 'Restarting') asked.delete(id); repaint(id); }, 10 * SECOND);
}

// ---- Painting
const counter = (key, label) => [key, label, row => count(row[key])];
/** The cells of a row: class, heading, words and tone. */
const COLUMNS = [
    ['state', 'State', state, row => TONES[state(row)] ?? 'past'],
    ['name', 'Server', row => row.name], ['client', 'Client', row => join(row.client_name)],
    ['uptime', 'Uptime', lasted], ['active', 'Last message', (row, now) => ago(row.last_active, now)],
    counter('restarts', 'Restarts'), counter('tool_calls', 'Tool calls'), counter('guidance_answers', 'Guidance'), counter('errors', 'Errors'),
    ['token', 'Token', (row, now) => token(row, now)[0], (row, now) => token(row, now)[1]],
];
const shownRows = () => [...document.querySelectorAll('tbody tr:not([hidden])')];
let painting = 0;
/** A burst of messages is one frame. A hidden page gets no frames, and of it only the title is seen: once a second will do. */
function repaint(id) {
    if (id) dirty.add(id);
    painting ||= document.hidden ? setTimeout(paint, SECOND) : requestAnimationFrame(paint);
}
function paint() {
    const now = Date.now(), focused = document.activeElement;
    let moved = painting = 0;
    for (const id of dirty) {
        const row = rows.get(id);
        if (row && !views.has(id)) views.set(id, newView(id));
        const view = views.get(id), stays = row && view.tr.parentNode?.id === groupOf(row);
        if (!stays) view?.tr.remove();
        if (row) paintRow(view, row, now); else views.delete(id);
        moved ||= !stays;
    }
    dirty.clear(); if (moved) arrange(); filter();
    // A row that moves takes the focus off what was focused in it.
    if (focused !== document.activeElement) focused.focus({ preventScroll: true });
    paintFrame(now); paintDetail(now); paintEvents($('#events ol'), events); $('#events > p').hidden = events.size > 0;
}
function newView(id) {
    const name = make('bdi'), open = make('button', { type: 'button', tabIndex: -1, ariaExpanded: 'false' }, name);
    const again = make('button', { type: 'button', className: 'push', tabIndex: -1 });
    const [apart, trouble] = ['away', 'trouble'].map(className => make('td', { role: 'cell', className }));
    const words = COLUMNS.map(([key]) => (key === 'name' ? name : make('span')));
    const cells = COLUMNS.map(([key], i) => make('td', { role: 'cell', className: key }, key === 'name' ? open : words[i]));
    const tr = make('tr', { role: 'row' }, ...cells, make('td', { role: 'cell', className: 'action' }, again), apart, trouble);
    for (const [i, [, label]] of COLUMNS.entries()) if (i > 2) cells[i].dataset.label = label;
    tr.dataset.id = id;
    tr.onclick = ({ target }) => (target === again ? restart(id) : choose(id === chosen ? null : id));
    tr.addEventListener('focusin', () => makeCurrent(id));
    return { tr, cells, words, name, open, again, apart, trouble };
}
function paintRow({ tr, cells, words, name, again, apart, trouble }, row, now) {
    const wish = asked.get(row.id), word = wish?.word || 'Restart';
    for (const [i, [, , textOf, toneOf]] of COLUMNS.entries()) {
        const text = textOf(row, now);
        put(words[i], text); paintTone(words[i], toneOf?.(row, now));
        cells[i].classList.toggle('zero', ['', '0', '\u2013'].includes(text));
    }
    flag(tr, 'data-phase', row.phase); flag(tr, 'data-state', state(row)); flag(name, 'title', row.command);
    put(apart, away(row)); paintTone(apart, away(row) && 'bad'); put(trouble, wish?.trouble ?? ''); put(again, word); flag(again, 'aria-label', `${word} ${row.name}`);
    flag(again, 'aria-disabled', String(Boolean(wish?.word))); again.hidden = !isOpen(row);
}
/** Newest first, as the monitor lists them, so that what is loaded later comes after what is there. */
function arrange() {
    const next = { open: $('#open').firstChild, closed: $('#closed').firstChild };
    for (const row of [...rows.values()].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? 1 : -1))) {
        const group = groupOf(row), { tr } = views.get(row.id);
        if (tr === next[group]) next[group] = tr.nextSibling;
        else $(`#${group}`).insertBefore(tr, next[group]);
    }
}
function filter() {
    const words = $('#filter').value.toLowerCase().split(/\s+/).filter(Boolean), status = $('.choice :checked').value;
    const text = row => [row.name, stateWords(row), row.client_name, row.command, row.id].join('\n').toLowerCase();
    let shown = 0;
    for (const [id, { tr }] of views) {
        const row = rows.get(id), fits = ['all', groupOf(row)].includes(status) && words.every(word => text(row).includes(word));
        if (tr.hidden === fits) tr.hidden = !fits;
        shown += fits;
    }
    const more = older.cursor && status !== 'open';
    $('table').hidden = shown === 0; $('#more').hidden = !more;
    $('#welcome').hidden = !loaded || rows.size > 0;
    $('#none').hidden = !loaded || shown > 0 || rows.size === 0;
    put($('#none'), join('No', status !== 'all' && status, 'session', words.length && 'that fits the filter', more && 'among those loaded'));
    if (views.get(current)?.tr.hidden !== false) makeCurrent(shownRows()[0]?.dataset.id);
}
/** One row at a time can be reached with Tab; the arrows go from row to row. */
function makeCurrent(id) {
    for (const [view, tabIndex] of [[views.get(current), -1], [views.get(id), 0]]) if (view) view.open.tabIndex = view.again.tabIndex = tabIndex;
    current = id;
}
function paintFrame(now) {
    put($('#as-of'), socket?.readyState !== WebSocket.OPEN && lastWord ? `as of ${moment(lastWord)}` : '');
    if (!loaded) return;
    const open = [...rows.values()].filter(isOpen), { total = 0, totalToolCalls: calls, avgDurationSeconds: mean } = health?.mcpSessions ?? {};
    const bad = open.filter(row => TONES[row.phase] === 'bad' || away(row) || token(row, now)[1] === 'bad').length;
    const closed = Math.max(rows.size, total) - open.length;
    const failing = Object.entries(health?.parts ?? {}).filter(([, part]) => part.status !== 'ok').map(([name, part]) =>
        (name === 'supervisors' ? `${some(part.silent, 'supervisor')} not answering` : `${name}: ${part.detail ?? part.status}`));
    put($('#count-open'), `Open ${count(open.length)}`); put($('#count-closed'), `Closed ${count(closed)}`);
    put($('#summary'), [
        `${count(open.length)} open`, bad && `${count(bad)} in trouble`, `${count(closed)} closed`,
        calls !== undefined && some(calls, 'tool call'), mean && `a session lasts ${span(mean * SECOND)} on average`,
    ].filter(Boolean).join(', '));
    document.title = `${bad ? `${bad} in trouble, ` : ''}${open.length} open \u2013 mcp-supervise`;
    $('#health').hidden = failing.length === 0; put($('#health'), `The monitor is degraded. ${failing.join('; ')}.`);
}
function paintEvents(list, from) {
    const newest = newestFirst(from), keys = newest.map(([key]) => key).join('\n');
    if (list.keys === keys) return; else list.keys = keys;
    list.replaceChildren(...newest.map(([, { at, kind, name = '', text }]) => {
        const word = make('span', { textContent: kind }), time = make('time', { className: 'aside', textContent: moment(at) });
        paintTone(word, TONES[kind] ?? 'past');
        const line = make('div', { className: 'line' }, word, make('bdi', { textContent: name }), time);
        return make('li', {}, line, make('p', { className: 'aside', textContent: text }));
    }));
}

// ---- One session in detail
const FACTS = Object.entries({
    State: (row, now) => (isOpen(row) ? stateWords(row) : `closed ${ago(row.closed_at, now)}: ${ENDINGS[row.close_reason] ?? 'no reason is known'}`),
    Command: row => row.command,
    Client: row => join(row.client_name, row.client_version), 'Server says': row => join(row.server_name, row.server_version),
    Protocol: row => `${row.protocol_version ?? 'not agreed on yet'}, ${row.transport}`, Supervisor: row => `pid ${row.pid}`,
    Started: (row, now) => `${moment(row.created_at)}, ${isOpen(row) ? 'up' : 'ran'} ${lasted(row, now)}`,
    'Last message': (row, now) => ago(row.last_active, now), 'Sign of life': (row, now) => ago(row.alive_at, now),
    Token: (row, now) => token(row, now)[0] || (isOpen(row) ? 'none is needed' : 'no longer needed'),
    API: row => (isOpen(row) ? { unknown: row.token_state === 'none' ? 'none is known' : 'not known yet' }[row.api_state] ?? row.api_state : 'no longer known'),
    Requests: row => `${count(row.requests)}, of them ${some(row.tool_calls, 'tool call')}`,
    Answers: row => `${some(row.errors, 'error')}, ${count(row.guidance_answers)} of guidance`,
    Restarts: row => count(row.restarts), Noise: row => `${some(row.noise_lines, 'line')} on stdout that were no messages`,
    'To the server': row => bytes(row.bytes_to_server), 'To the host': row => bytes(row.bytes_to_host), Session: row => row.id,
}).map(([label, words]) => {
    const node = make(['Command', 'Session'].includes(label) ? 'code' : 'span');
    $('dl').append(make('dt', { textContent: label }), make('dd', {}, node));
    return { words, node };
});
function paintDetail(now) {
    const row = rows.get(chosen);
    $('#detail').hidden = !row; if (!row) return;
    put($('#detail-name').firstChild, row.name);
    for (const { words, node } of FACTS) put(node, words(row, now));
    paintEvents($('#detail ol'), detailEvents);
    $('#detail > p').hidden = detailEvents.size > 0;
}
function choose(id) {
    const left = views.get(chosen);
    chosen = id;
    left?.open.setAttribute('aria-expanded', 'false');
    views.get(id)?.open.setAttribute('aria-expanded', 'true');
    detailEvents.clear(); put($('#detail > p'), ''); paintDetail(Date.now());
    if (id) { $('#detail-name').focus(); loadDetail(id).catch(() => {}); } else if (left && !left.tr.hidden) left.open.focus();
}

// ---- Charts
const BARS = 60, HIGH = 40;
const charts = [['calls', 'tool_calls', 'tool call'], ['restarts', 'restarts', 'restart']].map(([id, key, noun]) => {
    const bars = Array.from({ length: BARS }, (_, i) => svg('rect', { x: i * 4 + .4, width: 3.2 }, svg('title', {})));
    const uncounted = svg('rect', { class: 'uncounted', height: HIGH });
    const root = svg('svg', { viewBox: `0 0 ${BARS * 4} ${HIGH}`, preserveAspectRatio: 'none', role: 'img' }, uncounted, ...bars);
    const [sum, caption, from, most] = ['strong', 'span', 'span', 'span'].map(tag => make(tag)), to = make('span', { textContent: 'now' });
    $(`#${id}`).append(make('figcaption', {}, sum, caption), root, make('div', { className: 'scale' }, from, most, to));
    return { key, noun, root, uncounted, bars, sum, caption, from, most };
});
function drawCharts({ minutes, since }) {
    const now = Date.now(), start = (Math.floor(now / MINUTE) - BARS + 1) * MINUTE, whole = since <= start;
    const place = at => Math.max(0, Math.floor((at - start) / MINUTE));
    for (const { key, noun, root, uncounted, bars, sum, caption, from, most } of charts) {
        const values = new Array(BARS).fill(0);
        for (const minute of minutes) if (minute.at >= start && place(minute.at) < BARS) values[place(minute.at)] += minute[key];
        const total = values.reduce((a, b) => a + b), peak = Math.max(...values);
        for (const [i, bar] of bars.entries()) {
            // The smallest value has to be seen beside the largest, and a single one is no mountain.
            const height = values[i] && Math.max(2, (values[i] / Math.max(peak, 4)) * HIGH);
            flag(bar, 'height', String(height)); flag(bar, 'y', String(HIGH - height));
            put(bar.firstChild, `${minuteOf(start + i * MINUTE)}: ${count(values[i])}`);
        }
        flag(uncounted, 'width', String(Math.min(BARS, place(since)) * 4)); put(sum, count(total));
        put(caption, `${noun}${total === 1 ? '' : 's'} in the last ${whole ? 'hour' : span(Math.max(MINUTE, now - since))}`);
        put(from, whole ? minuteOf(start) : `counted since ${minuteOf(since)}`); put(most, peak ? `at most ${count(peak)} a minute` : '');
        flag(root, 'aria-label', `${sum.textContent} ${caption.textContent}${peak ? `, ${most.textContent}` : ''}`);
    }
}

// ---- What a person hears and does
const spoken = [];
/** Has changes read out politely: those of two seconds together, and of many how many there were. */
function announce(words) {
    if (spoken.push(words) > 1) return;
    setTimeout(() => {
        const all = spoken.splice(0);
        put($('#announcer'), all.length > 3 ? `${all.length} changes. The last: ${all.at(-1)}` : all.join('. '));
    }, 2 * SECOND);
}
const HEADINGS = [...COLUMNS, ['action', 'Action']];
$('thead tr').append(...HEADINGS.map(([className, textContent]) => make('th', { role: 'columnheader', className, textContent })));
$('#filter').oninput = $('.choice').onchange = () => repaint(); $('#more').onclick = loadMore; $('#close').onclick = () => choose(null);
$('table').onkeydown = event => {
    const list = shownRows(), at = list.indexOf(event.target.closest('tr'));
    const to = list[{ ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: list.length - 1 }[event.key]];
    if (to) { event.preventDefault(); views.get(to.dataset.id).open.focus(); }
};
document.onkeydown = event => {
    const { key, target } = event, typing = target.type === 'search';
    if (key === 'Escape' && chosen && !(typing && target.value)) choose(null);
    if (key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); $('#filter').focus(); }
};
document.addEventListener('visibilitychange', () => { painting = 0; repaint(); if (polling) poll(); });
// Times go on by themselves.
setInterval(() => { for (const [id, { tr }] of views) if (!document.hidden && !tr.hidden) dirty.add(id); repaint(); }, SECOND);
connect();
