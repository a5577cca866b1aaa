package flood

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func requestPath(t testing.TB, targets *Targets, i int) (path, host string) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(targets.AppendRequest(nil, i))))
	if err != nil {
		t.Fatalf("target %d makes the request %q: %v", i, targets.AppendRequest(nil, i), err)
	}
	return r.RequestURI, r.Host
}

func TestTargets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "u.txt")
	text := "\ufeff# flood\n\nhttp://127.0.0.1:8000/test/1\r\n  HTTP://localhost:8001/a?b=c&d=%20  \nhttp://[::1]\nhttp://127.0.0.1:8000?q\n" +
		"http://127.0.0.1:8000/{7..8}\nhttp://127.0.0.1:8000/last"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := LoadTargets([]string{"http://127.9.9.9:80/x{9..11}y", file, "-"}, strings.NewReader("\ufeffhttp://127.0.0.2/in\n"), Rules{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range targets.Len() {
		path, host := requestPath(t, targets, i)
		got = append(got, fmt.Sprintf("%s %s %s", targets.Addr(i), host, path))
	}
	want := []string{
		"127.9.9.9:80 127.9.9.9:80 /x9y", "127.9.9.9:80 127.9.9.9:80 /x10y", "127.9.9.9:80 127.9.9.9:80 /x11y",
		"127.0.0.1:8000 127.0.0.1:8000 /test/1", "127.0.0.1:8001 localhost:8001 /a?b=c&d=%20", "[::1]:80 [::1] /",
		"127.0.0.1:8000 127.0.0.1:8000 /?q", "127.0.0.1:8000 127.0.0.1:8000 /7", "127.0.0.1:8000 127.0.0.1:8000 /8",
		"127.0.0.1:8000 127.0.0.1:8000 /last", "127.0.0.2:80 127.0.0.2 /in",
	}
	if !slices.Equal(got, want) {
		t.Errorf("targets\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Ranges with leading zeros make what bash makes of them.
func TestPaddedRanges(t *testing.T) {
	for _, tc := range []struct{ template, want string }{
		{"{008..011}", "/008 /009 /010 /011"},
		{"{8..011}", "/008 /009 /010 /011"},
		{"{099..101}x", "/099x /100x /101x"},
		{"{07..100}", "/007 /100"},
		{"{0..1}", "/0 /1"},
		{"{00..1}", "/00 /01"},
		{"{9..10}", "/9 /10"},
		{"{00000000000000000001..2}", "/00000000000000000001 /00000000000000000002"},
		{"{009007199254740990..9007199254740991}", "/009007199254740990 /009007199254740991"},
	} {
		targets, err := LoadTargets([]string{"http://127.0.0.1/" + tc.template}, nil, Rules{})
		if err != nil {
			t.Errorf("%s: %v", tc.template, err)
			continue
		}
		want := strings.Fields(tc.want)
		for i, w := range want {
			at := i
			if i == len(want)-1 {
				at = targets.Len() - 1
			}
			if path, _ := requestPath(t, targets, at); path != w {
				t.Errorf("%s: target %d asks for %s, want %s", tc.template, at, path, w)
			}
		}
	}
}

func TestTargetErrors(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("empty.txt", []byte("# nothing\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const good = "http://127.0.0.1:1/test/1\n"
	for _, tc := range []struct{ source, stdin, want string }{
		{"-", good + "not a url\n", `stdin:2: "not a url" is no URL`},
		{"-", good + "\n#c\nftp://127.0.0.1/\n", `stdin:4: "ftp://127.0.0.1/" is no URL`},
		{"-", "https:/127.0.0.1/\n", "is no URL"},
		{"-", "httpss://127.0.0.1/\n", "is no URL"},
		{"-", "wss://192.0.2.1/\n", "is not a loopback address"},
		{"-", "https://127.0.0.1:0/\n", `has the port "0"`},
		{"-", "http://ws://127.0.0.1/\n", `has the port ""`},
		{"-", "ws://192.0.2.1/", "is not a loopback address"},
		{"-", good + "http://192.0.2.1/test/1", `stdin:2: "http://192.0.2.1/test/1" is not a loopback address; sending load to another machine needs --allow-remote`},
		{"-", "http://example.com/", "example.com, which may be remote"},
		{"-", "http://[::ffff:192.0.2.1]/", "is not a loopback address"},
		{"-", "http://0.0.0.0/", "is not a loopback address"},
		{"-", "http:///x", "has no host"},
		{"-", "http://127.0.0.1:0/", `has the port "0"`},
		{"-", "http://127.0.0.1:65536/", `has the port "65536"`},
		{"-", "http://127.0.0.1:8x/", `has the port "8x"`},
		{"-", "http://1:2:3/", "are none"},
		{"-", "http://u:p@192.0.2.1/", "u:xxxxx@192.0.2.1/\" is not a loopback"},
		{"-", "http://u:%zz@127.0.0.1/", "u:xxxxx@127.0.0.1/\" cannot be logged in to: bad escape in a password"},
		{"-", "http://u{n}:p@127.0.0.1/", "braces in its host or user name"},
		{"-", "http://127.0.0.1/a b", "percent-encode"},
		{"-", "http://127.0.0.1/\x00", "percent-encode"},
		{"-", "http://127.0.0.1/ü", "percent-encode"},
		{"-", "http://127.0.0.1/#top", "fragment"},
		{"-", "http://127.0.0.1/{1..2}{3..4}", `has "{3..4}" at 24, which is a second range`},
		{"-", "http://127.0.0.{1..2}/", "braces in its host"},
		{"-", "http://127.0.0.1/{2..1}", `"{2..1}" at 18, which ends before it begins`},
		{"-", "http://127.0.0.1/{02..1}", `"{02..1}" at 18, which ends before it begins`},
		{"-", "http://127.0.0.1/{000000000000000000001..2}", "no range"},
		{"-", "http://127.0.0.1/{-1..10}", "no range"},
		{"-", "http://127.0.0.1/{1,2}", "no range"},
		{"-", "http://127.0.0.1/{1..10", "no range"},
		{"-", "http://127.0.0.1/1..10}", `has "}" at 23, which closes what nothing opens`},
		{"-", "http://127.0.0.1/{0..9007199254740991}", "more than 268435455 targets"},
		{"-", "http://127.0.0.1/{1..99999999999999999999}", "no range"},
		{"-", good + "http://127.0.0.1/" + strings.Repeat("x", maxLine), "stdin:2: the line is longer than 8192 bytes"},
		{"-", "\x7fELF\x02\x01" + strings.Repeat("\x00\n", 10), "stdin:1: "},
		{"-", "", "stdin: no URL in it"},
		{"empty.txt", "", "empty.txt: no URL in it"},
		{"none.txt", "", "none.txt: "},
		{".", "", ".:1: "},
		{"http://127.0.0.1/{1..0}", "", `"http://127.0.0.1/{1..0}": has "{1..0}"`},
	} {
		_, err := LoadTargets([]string{tc.source}, strings.NewReader(tc.stdin), Rules{})
		var where *SourceError
		if !errors.As(err, &where) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q %.40q: error %v, want %q in it", tc.source, tc.stdin, err, tc.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00\x7f") {
			t.Errorf("%q %.40q: the error is not one clean line: %q", tc.source, tc.stdin, err)
		}
	}
}

func TestTargetsRemote(t *testing.T) {
	asked := 0
	rules := Rules{AllowRemote: true, Resolve: func(host string) (netip.Addr, error) {
		asked++
		if host != "comet.example" {
			return netip.Addr{}, errors.New("no such host")
		}
		return netip.MustParseAddr("192.0.2.7"), nil
	}}
	targets, err := LoadTargets([]string{"-"}, strings.NewReader(strings.Repeat("http://comet.example:81/\n", 3)+"http://192.0.2.1/"), rules)
	if err != nil {
		t.Fatal(err)
	}
	if asked != 1 || targets.Addr(2).String() != "192.0.2.7:81" || targets.Addr(3).String() != "192.0.2.1:80" {
		t.Errorf("asked %d times, targets %v and %v", asked, targets.Addr(2), targets.Addr(3))
	}
	if _, err := LoadTargets([]string{"http://other.example/"}, nil, rules); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("error %v, want the resolver's", err)
	}
}

// FuzzTargets: what is accepted makes requests that net/http reads back as the URL that net/url reads.
func FuzzTargets(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1:8000/test/1\n", "http://127.0.0.1/{01..3}?x\n# c\n\nhttp://[::1]:1/", "http://localhost", "ws://127.0.0.1:8000/ws/{1..3}",
		"http://127.0.0.1/{1..9007199254740991}", "https://127.0.0.1", "http://127.0.0.1/%zz", "http://127.0.0.1\\@x/", "http://127.0.0.0/`"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		targets, err := LoadTargets([]string{"-"}, bytes.NewReader(b), Rules{})
		if err != nil {
			var where *SourceError
			if !errors.As(err, &where) {
				t.Fatalf("%v is no *SourceError", err)
			}
			return
		}
		lines := 0
		for _, l := range bytes.Split(b, []byte("\n")) {
			if l = bytes.TrimSpace(l); len(l) > 0 && l[0] != '#' {
				lines++
				checkFirst(t, targets, string(l), lines == 1)
			}
		}
		if targets.Len() < lines || !targets.Addr(targets.Len()-1).Addr().IsLoopback() {
			t.Fatalf("%d targets from %d lines, the last is %v", targets.Len(), lines, targets.Addr(targets.Len()-1))
		}
	})
}

func checkFirst(t *testing.T, targets *Targets, line string, first bool) {
	if !first || strings.Contains(line, "{") || strings.Contains(line, "%") { // net/url refuses escapes that servers must judge
		return
	}
	u, err := url.Parse(line)
	if err != nil {
		t.Fatalf("%q was accepted, net/url says %v", line, err)
	}
	path, host := requestPath(t, targets, 0)
	uri, err := url.PathUnescape(u.RequestURI()) // net/url escapes a few characters that flood sends as they are
	if host != u.Host || path != uri || err != nil {
		t.Fatalf("%q asks %q for %q, net/url reads %q and %q", line, host, path, u.Host, u.RequestURI())
	}
}

func TestNth(t *testing.T) {
	for _, tc := range []struct {
		prefix string
		k      uint64
		want   string
	}{
		{"127.0.0.0/8", 0, "127.0.0.1"},
		{"127.0.0.0/8", 255, "127.0.1.0"},
		{"127.0.0.0/8", 1<<24 - 3, "127.255.255.254"},
		{"127.0.0.0/8", 1<<24 - 2, "127.0.0.1"},
		{"10.1.2.3/32", 5, "10.1.2.3"},
		{"10.1.2.2/31", 3, "10.1.2.3"},
		{"10.1.2.4/30", 1, "10.1.2.6"},
		{"::1/128", 9, "::1"},
		{"fd00::/120", 257, "fd00::1"},
		{"fd00::/8", 1 << 40, "fd00::100:0:0"},
		{"0.0.0.0/0", 0, "0.0.0.1"},
	} {
		if got := nth(netip.MustParsePrefix(tc.prefix), tc.k); got.String() != tc.want {
			t.Errorf("host %d of %s is %s, want %s", tc.k, tc.prefix, got, tc.want)
		}
	}
}

func TestParseSources(t *testing.T) {
	got, err := ParseSources("127.0.0.0/8, 10.0.0.1,::1")
	if err != nil || fmt.Sprint(got) != "[127.0.0.0/8 10.0.0.1/32 ::1/128]" {
		t.Errorf("ParseSources: %v, %v", got, err)
	}
	for _, s := range []string{"", "127.0.0", "127.0.0.0/33", "1.2.3.4,", "eth0", "fe80::1%eth0"} {
		if _, err := ParseSources(s); err == nil || !strings.Contains(err.Error(), "is no source") {
			t.Errorf("ParseSources(%q): error %v", s, err)
		}
	}
}

func TestOrigins(t *testing.T) {
	targets, err := LoadTargets([]string{"http://127.0.0.1/", "http://[::1]/"}, nil, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	loop4, loop6, remote := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), netip.MustParseAddr("192.0.2.1")
	auto, err := newOrigins(nil, targets, 299)
	if err != nil {
		t.Fatal(err)
	}
	if rotates := auto.from(0, loop4).IsValid(); rotates {
		if a, b, c := auto.from(0, loop4), auto.from(999, loop4), auto.from(1000, loop4); a.String() != "127.0.1.44:0" || a != b || c.String() != "127.0.1.45:0" {
			t.Errorf("automatic sources %v, %v, %v", a, b, c)
		}
	}
	if auto.from(0, loop6).IsValid() || auto.from(0, remote).IsValid() {
		t.Error("a source was chosen where the system should choose")
	}
	if _, err := newOrigins([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, targets, 0); err == nil || !strings.Contains(err.Error(), "family") {
		t.Errorf("IPv4 sources for an IPv6 target: error %v", err)
	}
	if _, err := newOrigins([]netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, targets, 0); err == nil || !strings.Contains(err.Error(), "192.0.2.1 is no address of this machine (") || strings.Contains(err.Error(), "udp") {
		t.Errorf("a foreign source: error %v", err)
	}
	given := origins{v4: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32"), netip.MustParsePrefix("127.1.0.0/16")}}
	for n, want := range map[int]string{0: "127.0.0.2:0", 1000: "127.1.0.1:0", 2000: "127.0.0.2:0", 3999: "127.1.0.2:0"} {
		if got := given.from(n, loop4); got.String() != want {
			t.Errorf("connection %d comes from %v, want %s", n, got, want)
		}
	}
}

// A million URLs in a file must stay small.
func BenchmarkLoadTargets(b *testing.B) {
	var text []byte
	for i := range 100_000 {
		text = fmt.Appendf(text, "http://127.0.0.1:8000/test/%d\n", i+1)
	}
	for b.Loop() {
		targets, err := LoadTargets([]string{"-"}, bytes.NewReader(text), Rules{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(cap(targets.arena)+8*cap(targets.lines))/float64(targets.Len()), "B/URL")
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "URLs/s")
}
