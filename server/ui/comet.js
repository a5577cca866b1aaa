'use strict';
// A comet client. One Login lives from "Log in" to "Log out"; within it connections come and go, and the numbers of the last messages, by
// id, are what the next connection resumes from. What comes from the network is shown by textContent only.

const $ = (id) => document.getElementById(id);
const most = 500; // messages that are shown; older ones make room

// backoff is how long to wait before attempt n: doubling from 0.25 s to 15 s, the half of it at random, so that the clients of a server
// that ended do not come back all at once.
function backoff(n) {
  const most = Math.min(15000, 250 * 2 ** n);
  return most / 2 + Math.random() * most / 2;
}

// position is where each id was left, as the server reads it: 5 for one id, 12:5,57:9 for several.
class Position {
  constructor(ids) { this.ids = ids; this.last = new Map(); }

  note(id, n) { if (n !== undefined) this.last.set(id, n); }

  set(cursor) { // of an event of ours
    for (const part of cursor.split(',')) {
      const [id, n] = part.includes(':') ? part.split(':') : [this.ids[0], part];
      if (/^\d+$/.test(n)) this.last.set(id, Number(n));
    }
  }

  toString() {
    if (this.ids.length === 1) return String(this.last.get(this.ids[0]) ?? '');
    return [...this.last].map(([id, n]) => `${id}:${n}`).join(',');
  }
}

// A transport opens one connection. It calls on.open, on.message({id, n, msg} or {id, n, gap}), and on.end once; what it returns closes it.
const transports = {
  // The browser comes back by itself, with Last-Event-ID and the server's retry; on.end only hears of what it gives up.
  sse(path, position, on) {
    const query = String(position) && '?last_event_id=' + encodeURIComponent(position);
    const source = new EventSource(`events/${path}${query}`);
    source.onopen = on.open;
    source.onmessage = (e) => {
      const ids = position.ids;
      const before = new Map(position.last);
      if (e.lastEventId) position.set(e.lastEventId);
      // The id of the event tells for which of several ids it is: the one whose number has changed.
      const id = ids.length === 1 ? ids[0] : ids.find((i) => position.last.get(i) !== before.get(i)) ?? '';
      on.message({ id, msg: e.data });
    };
    source.addEventListener('gap', (e) => {
      if (e.lastEventId) position.set(e.lastEventId);
      on.message(JSON.parse(e.data));
    });
    source.onerror = () => (source.readyState === EventSource.CLOSED ? on.end('the server refused') : on.wait());
    return () => source.close();
  },

  ws(path, position, on) {
    const url = new URL(`ws/${path}?format=json` + (String(position) && '&since=' + encodeURIComponent(position)), location);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url);
    socket.onopen = on.open;
    socket.onmessage = (e) => on.message(JSON.parse(e.data));
    socket.onclose = (e) => on.end(e.reason || (e.code === 1001 ? 'the server went away' : `code ${e.code}`));
    return () => socket.close(1000);
  },

  fetch(path, position, on) {
    const stop = new AbortController();
    (async () => {
      const query = String(position) && '?since=' + encodeURIComponent(position);
      const answer = await fetch(`test/${path}${query}`, { headers: { Accept: 'application/x-ndjson' }, signal: stop.signal, cache: 'no-store' });
      if (!answer.ok) throw new Error(`${answer.status} ${(await answer.text()).trim()}`);
      on.open();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ''; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + value).split('\n');
        rest = lines.pop();
        for (const line of lines) if (line) on.message(JSON.parse(line));
      }
      on.end('the stream ended');
    })().catch((e) => stop.signal.aborted || on.end(e.message));
    return () => stop.abort();
  },
};

// Login holds one connection at a time, and opens the next when it ends.
class Login {
  constructor(ids, via) {
    this.position = new Position(ids);
    this.via = via;
    this.attempt = 0;
    this.open();
  }

  open() {
    const via = transports[this.via];
    let over = false; // of this connection: what it says afterwards counts no more
    const unless = (f) => (...args) => over || this.gone || f(...args);
    status('waiting', 'Connecting…');
    this.shut = via(this.position.ids.map(encodeURIComponent).join(','), this.position, {
      open: unless(() => { this.attempt = 0; status('open', `Logged in as ${this.position.ids.join(', ')}.`); }),
      wait: unless(() => status('waiting', 'The connection ended; the browser is about to come back.')),
      message: unless((m) => { this.position.note(m.id, m.n); show(m); }),
      end: unless((why) => {
        over = true;
        const ms = backoff(this.attempt++);
        status('waiting', `The connection ended (${why}). Again in ${(ms / 1000).toFixed(1)} s.`);
        this.timer = setTimeout(() => this.open(), ms);
      }),
    });
  }

  close() {
    this.gone = true;
    clearTimeout(this.timer);
    this.shut();
    status('closed', 'Not connected.');
  }
}

function status(state, text) {
  $('status').dataset.state = state;
  $('status').textContent = text;
}

const seen = { messages: 0, gaps: 0 };

// show appends a message, or the mark of a gap. The list follows its end unless somebody has scrolled away from it.
function show(m) {
  const list = $('messages');
  const follows = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
  const row = document.createElement('li');
  const part = (name, cls, text) => {
    const e = document.createElement(name);
    e.className = cls;
    e.textContent = text;
    row.append(e);
  };
  part('time', 'at', new Date().toLocaleTimeString([], { hour12: false }));
  part('span', 'id', m.id);
  part('span', m.gap ? 'text gap' : 'text', m.gap ? 'Messages are missing here: the server no longer had them.' : m.msg);
  list.append(row);
  while (list.childElementCount > most) list.firstElementChild.remove();
  if (follows) list.scrollTop = list.scrollHeight;
  seen[m.gap ? 'gaps' : 'messages']++;
  $('counts').textContent = `${seen.messages} received` + (seen.gaps ? `, ${seen.gaps} gaps` : '');
}

let login = null;

function toggle() {
  if (login) {
    login.close();
    login = null;
  } else {
    const ids = [...new Set($('ids').value.split(',').map((s) => s.trim()).filter(Boolean))];
    if (!ids.length) return;
    login = new Login(ids, $('via').value);
    if (!$('to').value) $('to').value = ids[0];
    history.replaceState(null, '', '#' + new URLSearchParams({ ids: ids.join(','), via: $('via').value }));
  }
  $('connect').textContent = login ? 'Log out' : 'Log in';
  $('ids').disabled = $('via').disabled = Boolean(login);
}

async function send() {
  const say = (state, text) => { $('sent').dataset.state = state; $('sent').textContent = text; };
  const admin = $('admin').value.replace(/\/+$/, '');
  if (!admin) {
    $('where').open = true;
    return say('bad', 'Where is the admin listener? Its address is missing.');
  }
  const headers = { 'Content-Type': 'text/plain' };
  if ($('token').value) headers.Authorization = 'Bearer ' + $('token').value;
  try {
    const answer = await fetch(`${admin}/send/${encodeURIComponent($('to').value.trim())}`, { method: 'POST', headers, body: $('text').value, referrerPolicy: 'no-referrer' });
    if (!answer.ok) return say('bad', `${answer.status} ${(await answer.text()).trim()}`);
    const t = await answer.json();
    say('good', t.offline ? 'Sent; nobody is logged in under that id.' : `Sent to ${t.copies + (t.remote ?? 0)} sessions.`);
    $('text').value = '';
  } catch {
    $('where').open = true;
    say('bad', `${admin} cannot be reached from here, or does not allow this page: start serve with --allow-origin ${location.origin}`);
  }
}

$('login').addEventListener('submit', (e) => { e.preventDefault(); toggle(); });
$('send').addEventListener('submit', (e) => { e.preventDefault(); send(); });
$('origin').textContent = location.origin;

// The server tells where its admin listener is if that one allows this page; a mere port is on the host that the page comes from.
const told = document.querySelector('meta[name=cometctl-admin]').content;
$('admin').value = told.startsWith(':') ? `${location.protocol}//${location.hostname}${told}` : told;

// A bookmark such as #ids=123&via=ws logs in by itself.
const wanted = new URLSearchParams(location.hash.slice(1));
if (wanted.get('ids')) {
  $('ids').value = wanted.get('ids');
  if (transports[wanted.get('via')]) $('via').value = wanted.get('via');
  toggle();
}
