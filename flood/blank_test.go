package flood

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cometctl/internal/clienttls"
)

// asks are the requests of all targets: path, and the fields that are no usual ones.
func asks(t *testing.T, targets *Targets) (all []string) {
	t.Helper()
	for i := range targets.Len() {
		text := string(targets.AppendRequest(nil, i))
		path, rest, _ := strings.Cut(strings.TrimPrefix(text, "GET "), " HTTP/1.1\r\n")
		for _, usual := range []string{"Host: 127.0.0.1\r\n", "User-Agent: cometctl\r\n", "Accept: */*\r\n"} {
			rest = strings.Replace(rest, usual, "", 1)
		}
		all = append(all, strings.TrimRight(path+" "+strings.TrimSpace(rest), " "))
	}
	return all
}

func TestBlanks(t *testing.T) {
	for _, c := range []struct {
		url    string
		header []string
		want   []string
	}{
		{"http://127.0.0.1/a{1..2}?id={id}&n={n}&r={run}", nil, []string{"/a1?id=1&n=5&r=R7", "/a2?id=2&n=6&r=R7"}},
		{"http://127.0.0.1/{id}/{08..9}/{id}", nil, []string{"/08/08/08", "/09/09/09"}},
		{"http://127.0.0.1/x/{n}", []string{"X: {id}"}, []string{"/x/5 X: 5"}},
		{"http://127.0.0.1/test/12?a=/b", []string{"X: <{id}{id}>{n}", "Y: {\"run\":\"{run}\",\"{idx}\":{}}"},
			[]string{`/test/12?a=/b X: <1212>5` + "\r\n" + `Y: {"run":"R7","{idx}":{}}`}},
		{"http://127.0.0.1", []string{"X: {id}."}, []string{"/ X: ."}},
		{"http://127.0.0.1/{1..2}", []string{"X: {id}-{n}"}, []string{"/1 X: 1-5", "/2 X: 2-6"}},
		{"http://anna:a%20b@127.0.0.1/{1..1}", nil, []string{"/1 Authorization: Basic YW5uYTphIGI="}},
		{"http://anna@127.0.0.1/{1..1}", []string{"X: {id}"}, []string{"/1 X: 1\r\nAuthorization: Basic YW5uYTo="}},
	} {
		rules, err := Ask{Header: c.header, Run: "R7", First: 4}.Rules()
		if err != nil {
			t.Fatal(err)
		}
		targets, err := LoadTargets([]string{"-"}, strings.NewReader(c.url), rules)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if got := asks(t, targets); !slices.Equal(got, c.want) {
			t.Errorf("%s %q: %q, want %q", c.url, c.header, got, c.want)
		}
		// Cut into the shares of a fleet, the requests are the same.
		for from := range targets.Len() {
			text, _ := targets.AppendText(nil, from, from+1, 1<<10)
			rules.First = 4 + from
			one, err := ReadTargets("share", bytes.NewReader(text), 1, rules)
			if err != nil || asks(t, one)[0] != c.want[from] {
				t.Errorf("%s: the share %q asks %q, %v", c.url, text, asks(t, one), err)
			}
		}
	}
}

// Every error names the place.
func TestBlankErrors(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"http://127.0.0.1/a{foo}", `has "{foo}" at 19, which is no range such as {1..10000} and no placeholder; those are {id}, {n}, {run}`},
		{"http://127.0.0.1/{ID}", `has "{ID}" at 18`},
		{"http://127.0.0.1/{}", `has "{}" at 18`},
		{"http://127.0.0.1/{n", `has "{n" at 18`},
		{"http://127.0.0.1/{{n}}", `has "{{n}" at 18`},
		{"http://127.0.0.1/{n}}", `has "}" at 21`},
		{"http://127.0.0.1/x/{id}", `has "{id}" at 20, which repeats what a range gives`},
		{"http://127.0.0.1/{n}{1..2}{3..4}", `has "{3..4}" at 27, which is a second range`},
		{"http://127.0.0.1/{1..a}", `has "{1..a}" at 18, which is no range`},
		{"http://127.0.0.1/{cursor}", "say with --as poll where an answer has it"},
		{"ws://127.0.0.1/{cursor}", "is a WebSocket, which has no {cursor}"},
	} {
		_, err := LoadTargets([]string{"-"}, strings.NewReader(c.url), Rules{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.url, err, c.want)
		}
	}
}

func TestAskErrors(t *testing.T) {
	long := strings.Repeat("x", maxHello+1)
	for _, c := range []struct {
		ask  Ask
		want string
	}{
		{Ask{Subprotocols: []string{"a b"}}, `--subprotocol "a b" is no name`},
		{Ask{Subprotocols: []string{""}}, `--subprotocol "" is no name`},
		{Ask{Subprotocols: []string{"a"}, Header: []string{"sec-websocket-protocol: b"}}, "say the same"},
		{Ask{Subprotocols: make([]string, maxHeader+1)}, "--subprotocol is there 101 times"},
		{Ask{Header: make([]string, maxHeader+1)}, "--header is there 101 times"},
		{Ask{Hello: []string{long}}, "--ws-hello says more than"},
		{Ask{Hello: []string{"\xff"}}, "is no UTF-8"},
		{Ask{Hello: []string{"{cursor}"}}, "is for --as poll"},
		{Ask{Run: "a/b"}, `"a/b" is no tag of a run`},
		{Ask{First: -1}, "is no tag of a run"},
		{Ask{Cursor: "json:x"}, "--cursor is for --as poll"},
		{Ask{As: "poll", Cursor: "body:x"}, `--cursor "body:x": give header:NAME`},
		{Ask{As: "poll", Cursor: "json:"}, `--cursor "json:": "" is no name of a JSON member`},
		{Ask{As: "poll", Cursor: "header:a b"}, `--cursor "header:a b": "a b" is no name of a field`},
		{Ask{As: "poll", Cursor: "json:a=\x01"}, "control character"},
		{Ask{As: "poll", Cursor: "last-modified:x"}, "give header:NAME"},
		{Ask{Trust: tooMuch()}, "--ca, --cert, --key: a file of 262145 bytes"},
	} {
		if _, err := c.ask.Rules(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.200s: %v, want %q", fmt.Sprintf("%+v", c.ask), err, c.want)
		}
	}
	rules, err := Ask{Header: []string{"Authorization: Bearer x"}}.Rules()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTargets([]string{"http://me:pw@127.0.0.1/"}, nil, rules); err == nil || !strings.Contains(err.Error(), "and -H an Authorization") || strings.Contains(err.Error(), "pw") {
		t.Errorf("two authorizations: %v", err)
	}
}

// What a WebSocket begins with leaves behind the upgrade, filled, a message each; the subprotocols are those that were asked for.
func TestHello(t *testing.T) {
	rules, err := Ask{Subprotocols: []string{"a.b", "c"}, Hello: []string{`{"id":{n},"connect":{}}`, "{id}@{run}"}, Run: "7"}.Rules()
	if err != nil {
		t.Fatal(err)
	}
	targets, err := LoadTargets([]string{"ws://127.0.0.1:8000/ws/{3..4}", "ws://127.0.0.1:8000/ws/x?y", "http://127.0.0.1:8000/"}, nil, rules)
	if err != nil {
		t.Fatal(err)
	}
	if !targets.WebSocket() || strings.Contains(string(targets.AppendRequest(nil, 3)), "Sec-WebSocket") {
		t.Errorf("http: %q", targets.AppendRequest(nil, 3))
	}
	r := newRig(t, 100, "http://127.0.0.1:1/")
	r.plan.targets = targets
	r.plan.allowed.Store(3)
	r.lane.heads.frames.protocols = targets.protocols
	r.dialAll()
	for i, want := range []string{`{"id":1,"connect":{}} 3@7`, `{"id":2,"connect":{}} 4@7`, `{"id":3,"connect":{}} x@7`} {
		c := r.conns[i]
		r.open(c)
		if !strings.Contains(r.written[i], "\r\nSec-WebSocket-Protocol: a.b, c\r\n") {
			t.Fatalf("asked with %q", r.written[i])
		}
		r.read(c, r.upgraded(t, i+1, "c", ""))
		if got := strings.Join(r.said(t, i+1), " "); got != strings.ReplaceAll("1 "+want, "} ", "} 1 ") {
			t.Errorf("connection %d says %q, want %q", i+1, got, want)
		}
	}
	if got := r.result(); got.Open != 3 {
		t.Errorf("%+v", got)
	}
}

// tooMuch is more than a worker takes.
func tooMuch() (t clienttls.Trust) {
	t.CA = make([]byte, maxTrust+1)
	return t
}
