package flood

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sort"
	"strings"

	"cometctl/internal/wire"
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

	protocols string // the subprotocols that ws:// targets ask for
}

// host is what the targets of one scheme and "name:port" share.
type host struct {
	name string // "name:port" or "name", as the URL has it
	addr netip.AddrPort
	rest string // of the request, from behind the path to the empty line

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

// LoadTargets reads all sources and checks every URL, before anything is opened. A source is a URL or a template (it
// contains "://"), "-" for stdin, or the name of a file with a URL a line, where blank lines and lines that begin with #
// are skipped. A template has one range in its path: {1..10000}, or {00001..10000} for numbers of one length. Every error is a *SourceError.
func LoadTargets(sources []string, stdin io.Reader, rules Rules) (*Targets, error) {
	l := newLoader(rules)
	for _, s := range sources {
		if err := l.load(s, stdin); err != nil {
			return nil, err
		}
	}
	return l.done(), nil
}

// ReadTargets is LoadTargets for the text of one file, which errors call name. It refuses more than most targets.
func ReadTargets(name string, text io.Reader, most int, rules Rules) (*Targets, error) {
	l := newLoader(rules)
	l.most = min(most, maxTargets)
	if err := l.read(name, text); err != nil {
		return nil, err
	}
	return l.done(), nil
}

// Len is the number of targets.
func (t *Targets) Len() int { return t.n }

// Addr is the address of target i, 0 <= i < Len.
func (t *Targets) Addr(i int) netip.AddrPort { return t.hostOf(i).addr }

// Secure tells whether a target speaks TLS: its URL begins with https:// or wss://.
func (t *Targets) Secure() bool {
	return slices.ContainsFunc(t.hosts, func(h host) bool { return h.tls != nil })
}

// AppendRequest appends the request that target i begins with: GET its path.
func (t *Targets) AppendRequest(dst []byte, i int) []byte {
	return t.appendRequest(dst, i, mark{}, nonce{})
}

// appendRequest appends a request of target i: GET its path, from the mark on if there is one. key is for a WebSocket.
func (t *Targets) appendRequest(dst []byte, i int, from mark, key nonce) []byte {
	p := t.part(i)
	h := &t.hosts[t.host(p, i)]
	rest := h.rest
	dst = append(dst, "GET "...)
	path := len(dst)
	dst = t.appendPath(dst, p, i)
	if h.dialect == dialectWebSocket {
		dst = append(dst, rest[:len(rest)-len("\r\n")]...)
		return append(wire.AppendUpgrade(dst, key, ""), "\r\n"...) // the subprotocols of -H are in rest
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

// dialect is what target i speaks.
func (t *Targets) dialect(i int) dialect { return t.hostOf(i).dialect }

func (t *Targets) hostOf(i int) *host {
	if len(t.hosts) == 1 {
		return &t.hosts[0]
	}
	return &t.hosts[t.host(t.part(i), i)]
}

func (t *Targets) appendPath(dst []byte, p *part, i int) []byte {
	if p.template {
		dst = appendNumber(append(dst, p.prefix...), p.from+uint64(i-p.first), p.width)
		return append(dst, p.suffix...)
	}
	at := p.line + i - p.first
	return append(dst, t.arena[t.lines[at].off:t.lines[at+1].off]...)
}

// AppendText appends lines that make the targets from the one to before the other, for ReadTargets: single URLs as they are, templates
// cut to the range. It stops when dst has grown by limit bytes, after one line at least, and returns the first target that is not in it.
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

// loader builds Targets.
type loader struct {
	rules Rules
	most  int // targets
	t     *Targets
	hosts map[string]map[string]uint32 // by scheme, "name:port" to its place in t.hosts
}

func newLoader(rules Rules) *loader {
	return &loader{rules: rules, most: maxTargets, hosts: map[string]map[string]uint32{}, t: &Targets{protocols: rules.Header.protocols}}
}

func (l *loader) done() *Targets {
	l.t.lines = append(l.t.lines, line{off: uint32(len(l.t.arena))})
	return l.t
}

func (l *loader) load(source string, stdin io.Reader) error {
	if strings.Contains(source, "://") {
		if err := l.add([]byte(source)); err != nil {
			return &SourceError{Name: quote([]byte(source)), Err: err}
		}
		return nil
	}
	if source == "-" {
		return l.read("stdin", stdin)
	}
	f, err := os.Open(source)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err // the name is said already
		}
		return &SourceError{Name: source, Err: err}
	}
	defer f.Close()
	return l.read(source, f)
}

func (l *loader) read(name string, r io.Reader) error {
	before := l.t.n
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, maxLine), maxLine)
	n := 0
	for in.Scan() {
		n++
		b := in.Bytes()
		if n == 1 {
			b = bytes.TrimPrefix(b, []byte("\ufeff")) // as some editors begin a file
		}
		b = bytes.TrimSpace(b)
		if len(b) == 0 || b[0] == '#' {
			continue
		}
		if err := l.add(b); err != nil {
			return &SourceError{name, n, fmt.Errorf("%s %w", quote(b), err)}
		}
	}
	if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
		return &SourceError{name, n + 1, fmt.Errorf("the line is longer than %d bytes", maxLine)}
	} else if err != nil {
		return &SourceError{name, n + 1, err}
	}
	if l.t.n == before {
		return &SourceError{Name: name, Err: errors.New("no URL in it; it needs one a line, as http://127.0.0.1:8000/test/1")}
	}
	return nil
}

// add takes one URL or template.
func (l *loader) add(url []byte) error {
	u, err := parseURL(url)
	if err != nil {
		return err
	}
	h, err := l.host(&u)
	if err != nil {
		return err
	}
	t := l.t
	if u.count > uint64(l.most-t.n) {
		return fmt.Errorf("makes more than %d targets", l.most)
	}
	if u.template {
		t.parts = append(t.parts, part{first: t.n, template: true, host: h,
			prefix: string(u.prefix), suffix: string(u.suffix), from: u.from, width: u.width})
		t.n += int(u.count)
		return nil
	}
	if len(t.arena)+len(u.prefix) > maxArena {
		return fmt.Errorf("makes more than %d bytes of paths; use a template like /test/{1..10000}", maxArena)
	}
	if len(t.parts) == 0 || t.parts[len(t.parts)-1].template {
		t.parts = append(t.parts, part{first: t.n, line: len(t.lines)})
	}
	t.lines = append(t.lines, line{uint32(len(t.arena)), h})
	t.arena = append(t.arena, u.prefix...)
	t.n++
	return nil
}

// host returns the place of an authority in t.hosts; each is parsed, judged and resolved once.
func (l *loader) host(u *parsedURL) (uint32, error) {
	scheme := schemeOf(u.websocket, u.secure)
	if h, ok := l.hosts[scheme][string(u.authority)]; ok {
		return h, nil
	}
	name, d := string(u.authority), l.rules.As.dialect()
	if u.websocket {
		d = dialectWebSocket
	}
	server, port, err := splitAuthority(name, u.secure)
	if err != nil {
		return 0, err
	}
	addr, err := l.resolve(server)
	if err != nil {
		return 0, err
	}
	h := host{name: name, addr: netip.AddrPortFrom(addr, port), rest: " HTTP/1.1\r\n" + l.rules.Header.lines(name, d), dialect: d}
	if u.secure {
		h.tls = newHostTLS(l.rules.TLS, server)
	}
	if l.hosts[scheme] == nil {
		l.hosts[scheme] = map[string]uint32{}
	}
	l.hosts[scheme][name] = uint32(len(l.t.hosts))
	l.t.hosts = append(l.t.hosts, h)
	return l.hosts[scheme][name], nil
}

// localhost is not looked up: what a system answers differs (IPv6 first, a search domain), and the servers of the
// article listen on IPv4.
var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func (l *loader) resolve(name string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(name)
	switch {
	case err == nil:
		addr = addr.Unmap()
	case strings.EqualFold(name, "localhost"):
		addr = localhost
	case !l.rules.AllowRemote:
		return netip.Addr{}, fmt.Errorf("has the host %s, which may be remote; only loopback addresses and localhost are used without --allow-remote", name)
	default:
		resolve := l.rules.Resolve
		if resolve == nil {
			resolve = resolveBySystem
		}
		if addr, err = resolve(name); err != nil {
			return netip.Addr{}, fmt.Errorf("has the host %s, which has no address: %w", name, err)
		}
	}
	if !addr.IsLoopback() && !l.rules.AllowRemote {
		return netip.Addr{}, fmt.Errorf("is not a loopback address; sending load to another machine needs --allow-remote")
	}
	return addr, nil
}

func resolveBySystem(name string) (netip.Addr, error) {
	addrs, err := net.LookupIP(name)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, ip := range addrs { // IPv4 first: every server has it
		if ip4 := ip.To4(); ip4 != nil {
			return netip.AddrFrom4([4]byte(ip4)), nil
		}
	}
	addr, _ := netip.AddrFromSlice(addrs[0])
	return addr, nil
}
