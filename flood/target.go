package flood

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"sort"
)

// Bounds of what LoadTargets accepts.
const (
	maxLine    = 8 << 10   // bytes of a line, as servers bound a request line
	maxTargets = 1<<28 - 1 // what a loop's slots can number
	maxArena   = 1<<32 - 1 // bytes of paths from files
)

// Rules say which targets are accepted, how a host's name becomes an address, what requests carry and how answers are read. The
// zero value accepts loopback only.
type Rules struct {
	Header      Header                                // of each request
	As          As                                    // how http:// targets are read
	Cursor      Cursor                                // of polls
	Protocols   string                                // the subprotocols that WebSockets ask for, with commas between
	Hello       []string                              // texts that a WebSocket begins with, a message each
	Run         string                                // what {run} is
	First       int                                   // what {n} is for the first target, less one
	TLS         *tls.Config                           // of https:// and wss:// targets, but for ServerName; nil: crypto/tls's default
	AllowRemote bool                                  // accept targets that are not loopback addresses
	Resolve     func(host string) (netip.Addr, error) // with AllowRemote: asked once a host; nil asks the system
}

// Targets is a list of URLs, kept small: a million lines of a file cost their paths and 8 bytes each, a template like
// http://127.0.0.1:8000/test/{1..1000000} costs nothing. It does not change after LoadTargets and may be read by any
// goroutine.
type Targets struct {
	hosts []host
	parts []part
	arena []byte // paths of single URLs, one behind the other
	lines []line // where they stand in the arena
	n     int

	protocols string   // the subprotocols that WebSockets ask for
	hello     []string // what they say first
	cursor    Cursor
	blanks    bool   // a blank stands in a URL or a field
	run       string // what {run} is
	first     int    // what {n} is for target 0, less one
}

// host is what the targets of one scheme and "name:port" share.
type host struct {
	name string // "name:port" or "name", as the URL has it, with user:password@ in front where it has that
	addr netip.AddrPort
	rest string // of the request, from behind the path to the empty line

	blanks  bool // in rest
	dialect dialect
	tls     *hostTLS // nil: it is plain
}

// line is one URL of a file: its path reaches from off to the off of the line that follows.
type line struct{ off, host uint32 }

// part is a run of targets: single URLs, or a template's.
type part struct {
	first          int    // index of its first target
	line           int    // single URLs: index of the first in lines
	template       bool   //
	host           uint32 // template: all that follows
	prefix, suffix string
	from           uint64
	width          uint8 // of each number, with zeros in front
}

// SourceError says what is wrong with a source of URLs, and where.
type SourceError struct {
	Name string // the file, "stdin" or the argument itself
	Line int    // counts from 1; 0 where there are no lines
	Err  error
}

// Error is "FILE:LINE: what is wrong".
func (e *SourceError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %v", e.Name, e.Line, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Name, e.Err)
}

// Unwrap returns what is wrong without where.
func (e *SourceError) Unwrap() error { return e.Err }

// Len is the number of targets.
func (t *Targets) Len() int { return t.n }

// Addr is the address of target i, 0 <= i < Len.
func (t *Targets) Addr(i int) netip.AddrPort { return t.hostOf(i).addr }

// Secure tells whether a target speaks TLS: its URL begins with https:// or wss://.
func (t *Targets) Secure() bool {
	return slices.ContainsFunc(t.hosts, func(h host) bool { return h.tls != nil })
}

// dialect is what target i speaks.
func (t *Targets) dialect(i int) dialect { return t.hostOf(i).dialect }

// WebSocket tells whether a target is a WebSocket: its URL begins with ws:// or wss://.
func (t *Targets) WebSocket() bool {
	return slices.ContainsFunc(t.hosts, func(h host) bool { return h.dialect == dialectWebSocket })
}

func (t *Targets) hostOf(i int) *host {
	if len(t.hosts) == 1 {
		return &t.hosts[0]
	}
	return &t.hosts[t.host(t.part(i), i)]
}

// AppendText appends lines that make the targets from the one to before the other, for ReadTargets: single URLs as they are, templates
// cut to the range, passwords included. It stops when dst has grown by limit bytes, after one line at least, and returns the first target that is not in it.
func (t *Targets) AppendText(dst []byte, from, to, limit int) (text []byte, next int) {
	start, had := len(dst), len(dst)
	for next = from; next < to; {
		p := t.part(next)
		i := next
		h := &t.hosts[t.host(p, i)]
		dst = append(append(dst, schemeOf(h.dialect == dialectWebSocket, h.tls != nil)...), h.name...)
		if p.template {
			next = to
			if k := sort.Search(len(t.parts), func(k int) bool { return t.parts[k].first > i }); k < len(t.parts) {
				next = min(to, t.parts[k].first)
			}
			dst = append(append(dst, p.prefix...), '{')
			dst = append(appendNumber(dst, p.from+uint64(i-p.first), p.width), ".."...)
			dst = append(appendNumber(dst, p.from+uint64(next-1-p.first), p.width), '}')
			dst = append(dst, p.suffix...)
		} else {
			next++
			dst = t.appendPath(dst, p, i)
		}
		dst = append(dst, '\n')
		if len(dst)-start > limit && had > start {
			return dst[:had], i
		}
		had = len(dst)
	}
	return dst, next
}

func (t *Targets) part(i int) *part {
	if len(t.parts) == 1 {
		return &t.parts[0]
	}
	return &t.parts[sort.Search(len(t.parts), func(k int) bool { return t.parts[k].first > i })-1]
}

func (t *Targets) host(p *part, i int) uint32 {
	if p.template {
		return p.host
	}
	return t.lines[p.line+i-p.first].host
}
