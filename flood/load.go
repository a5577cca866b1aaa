package flood

import (
	"bufio"
	"bytes"
	"cmp"
	"cometctl/internal/wire"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
)

// LoadTargets reads all sources and checks every URL, before anything is opened. A source is a URL or a template (it
// contains "://"), "-" for stdin, or the name of a file with a URL a line, where blank lines and lines that begin with #
// are skipped. A template has one range in its path: {1..10000}, or {00001..10000} for numbers of one length. {id}, {n} and {run} in it are filled for
// each request. user:password@ becomes an Authorization field. Every error is a *SourceError.
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

// loader builds Targets.
type loader struct {
	rules Rules
	most  int // targets
	t     *Targets
	hosts map[string]map[string]uint32 // by scheme, "name:port" to its place in t.hosts
	addrs map[string]netip.Addr        // by name
}

func newLoader(rules Rules) *loader {
	return &loader{rules: rules, most: maxTargets, hosts: map[string]map[string]uint32{}, addrs: map[string]netip.Addr{},
		t: &Targets{protocols: cmp.Or(rules.Protocols, rules.Header.protocols), hello: rules.Hello, run: rules.Run, first: rules.First, cursor: rules.Cursor, blanks: rules.Header.blanks}}
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
	if err := l.rules.checkCursor(&u); err != nil {
		return err
	}
	h, err := l.host(&u)
	if err != nil {
		return err
	}
	t := l.t
	t.blanks = t.blanks || u.blanks
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
	userinfo, at, named := wire.CutUserinfo(u.authority)
	server, port, err := splitAuthority(string(at), u.secure)
	if err != nil {
		return 0, err
	}
	addr, err := l.resolve(server)
	if err != nil {
		return 0, err
	}
	header := l.rules.Header
	if named {
		if header, err = header.withUser(userinfo); err != nil {
			return 0, err
		}
	}
	if u.websocket {
		header = header.withProtocols(l.rules.Protocols)
	}
	h := host{name: name, addr: netip.AddrPortFrom(addr, port), rest: " HTTP/1.1\r\n" + header.lines(string(at), d), blanks: header.blanks, dialect: d}
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

// resolve makes an address of a name, which is judged; each is asked for once.
func (l *loader) resolve(name string) (netip.Addr, error) {
	if addr, ok := l.addrs[name]; ok {
		return addr, nil
	}
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
	l.addrs[name] = addr
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
