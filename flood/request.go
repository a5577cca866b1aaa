package flood

import (
	"bytes"
	"slices"

	"cometctl/internal/wire"
)

// This file is how requests are made: the path from a template or a file, the fields from -H, and what the dialect adds.

// AppendRequest appends the request that target i begins with: GET its path.
func (t *Targets) AppendRequest(dst []byte, i int) []byte {
	return t.appendRequest(dst, i, mark{}, nonce{})
}

// appendRequest appends a request of target i: GET its path, from the mark on if there is one. key is for a WebSocket.
func (t *Targets) appendRequest(dst []byte, i int, from mark, key nonce) []byte {
	if t.blanks {
		return t.appendFilledRequest(dst, i, []byte(t.cursor.first), from, key)
	}
	p := t.part(i)
	h := &t.hosts[t.host(p, i)]
	dst = append(dst, "GET "...)
	path := len(dst)
	dst = t.appendPath(dst, p, i)
	return h.appendRest(dst, path, h.rest, from, key)
}

// appendRest appends what stands behind the path, which begins at index path and ends dst.
func (h *host) appendRest(dst []byte, path int, rest string, from mark, key nonce) []byte {
	if h.dialect == dialectWebSocket {
		dst = append(dst, rest[:len(rest)-len("\r\n")]...)
		return append(wire.AppendUpgrade(dst, key, ""), "\r\n"...) // its subprotocols are in rest
	}
	text := from.text[:from.n]
	switch from.kind {
	case markSince:
		dst = insertSince(dst, path, text)
	case markDated:
		dst = append(append(dst, rest[:len(rest)-len("\r\n")]...), "If-Modified-Since: "...)
		dst = append(append(dst, text[:from.tag]...), "\r\n"...)
		if tag := text[from.tag:]; len(tag) > 0 {
			dst = append(append(append(dst, "If-None-Match: "...), tag...), "\r\n"...)
		}
		return append(dst, "\r\n"...)
	}
	return append(dst, rest...)
}

// appendPoll is appendRequest for a poll that goes on from a cursor.
func (t *Targets) appendPoll(dst []byte, i int, cursor []byte) []byte {
	return t.appendFilledRequest(dst, i, cursor, mark{}, nonce{})
}

// appendFilledRequest is appendRequest where blanks have to be filled.
func (t *Targets) appendFilledRequest(dst []byte, i int, cursor []byte, from mark, key nonce) []byte {
	h := t.hostOf(i)
	f := filling{cursor: appendEscaped(nil, cursor)}
	dst = append(dst, "GET "...)
	path := len(dst)
	dst = t.appendFilledPath(dst, i, &f)
	rest := h.rest
	if f.cursor = cursor; h.blanks {
		rest = string(appendFilled(nil, rest, &f))
	}
	return h.appendRest(dst, path, rest, from, key)
}

// appendFilledPath appends the path of target i, and makes f what fills its other blanks.
func (t *Targets) appendFilledPath(dst []byte, i int, f *filling) []byte {
	p := t.part(i)
	f.n, f.run = uint64(t.first+i+1), []byte(t.run)
	if p.template {
		f.id = appendNumber(nil, p.from+uint64(i-p.first), p.width)
	}
	path := len(dst)
	dst = appendFilled(dst, t.appendPath(nil, p, i), f)
	if !p.template {
		f.id = bytes.Clone(lastSegment(dst[path:]))
	}
	return dst
}

// appendHello appends one of the texts that target i's WebSocket begins with, its blanks filled.
func (t *Targets) appendHello(dst []byte, text string, i int) []byte {
	if !hasBlanks(text) {
		return append(dst, text...)
	}
	var f filling
	t.appendFilledPath(nil, i, &f)
	return appendFilled(dst, text, &f)
}

// insertSince puts since=cursor in front of the query of the path that begins at index path and ends dst: of several, the first counts.
func insertSince(dst []byte, path int, cursor []byte) []byte {
	query := bytes.IndexByte(dst[path:], '?')
	if query < 0 {
		return append(append(dst, "?since="...), cursor...)
	}
	at := path + query + len("?")
	parameter := slices.Concat([]byte("since="), cursor, []byte("&"))
	return slices.Insert(dst, at, parameter...)
}

func (t *Targets) appendPath(dst []byte, p *part, i int) []byte {
	if p.template {
		dst = appendNumber(append(dst, p.prefix...), p.from+uint64(i-p.first), p.width)
		return append(dst, p.suffix...)
	}
	at := p.line + i - p.first
	return append(dst, t.arena[t.lines[at].off:t.lines[at+1].off]...)
}
