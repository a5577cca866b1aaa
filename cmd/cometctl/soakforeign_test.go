package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                          nil,
		" \t\n ":                    nil,
		"nginx":                     {"nginx"},
		"  nginx  -c\tx ":           {"nginx", "-c", "x"},
		`nginx -g "daemon off;"`:    {"nginx", "-g", "daemon off;"},
		`sh -c 'a "b" $c \n'`:       {"sh", "-c", `a "b" $c \n`},
		`a "b \"c\" \\ \n" 'd'"e"f`: {"a", `b "c" \ \n`, "def"},
		`a '' ""`:                   {"a", "", ""},
		`C:\\nginx\\nginx a\ b`:     {`C:\nginx\nginx`, "a b"},
		"a '\n' | b > c &":          {"a", "\n", "|", "b", ">", "c", "&"},
		"héllo 'wörld é'":           {"héllo", "wörld é"},
	} {
		if got, err := splitWords(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", line, got, err, want)
		}
	}
	for line, want := range map[string]string{
		`a 'b`:   "the quote at 3 has no end",
		`"`:      "the quote at 1 has no end",
		`a "b\"`: "the quote at 3 has no end",
		`a\`:     "ends with a backslash",
	} {
		if got, err := splitWords(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want %q", line, got, err, want)
		}
	}
}

// Words that are quoted come out as they were.
func FuzzSplitWords(f *testing.F) {
	f.Add("nginx -g", "daemon off;")
	f.Add(`it's`, `a "b" \`)
	f.Fuzz(func(t *testing.T, a, b string) {
		quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
		if got, err := splitWords(quoted(a) + " \t" + quoted(b)); err != nil || !slices.Equal(got, []string{a, b}) {
			t.Errorf("%q, %q came out as %q, %v", a, b, got, err)
		}
		words, err := splitWords(a)
		if err != nil {
			return
		}
		var again []string
		for _, w := range words {
			again = append(again, quoted(w))
		}
		if got, err := splitWords(strings.Join(again, " ")); err != nil || !slices.Equal(got, words) {
			t.Errorf("%q: %q, and again %q, %v", a, words, got, err)
		}
	})
}

// What is passed on is what was given, as the piece reads it.
func TestPassedOptions(t *testing.T) {
	f := pflag.NewFlagSet("soak", pflag.ContinueOnError)
	addPassed(f)
	if err := f.Parse([]string{"-H", "A: 1,2", "--header=B: c", "--send-header", "C: d", "--body", "", "--allow-remote", "--connect-timeout", "1500ms", "--connections", "4"}); err != nil {
		t.Fatal(err)
	}
	if got, want := passedOptions(f, passedToFlood), []string{"--header=A: 1,2", "--header=B: c", "--connect-timeout=1.5s", "--allow-remote=true"}; !slices.Equal(got, want) {
		t.Errorf("to flood: %q, want %q", got, want)
	}
	if got, want := passedOptions(f, passedToMsggen), []string{"--body=", "--connections=4", "--allow-remote=true", "--header=C: d"}; !slices.Equal(got, want) {
		t.Errorf("to msggen: %q, want %q", got, want)
	}
	if err := f.Parse([]string{"--connect-timeout", "soon"}); err == nil {
		t.Error("a value that flood refuses was taken")
	}
}

// What is about TLS goes to the piece that speaks it. Where neither does, flood gets it, and refuses it.
func TestPassedTrust(t *testing.T) {
	const http, https = "POST http://127.0.0.1/{id}", "POST https://127.0.0.1/{id}"
	for _, c := range []struct {
		to, urls       string
		toFlood, toGen bool
	}{
		{http, "http://127.0.0.1/", true, false},
		{http, "https://127.0.0.1/", true, false},
		{https, "http://127.0.0.1/", false, true},
		{https, "WSS://127.0.0.1/", true, true},
		{https, "urls.txt", true, true},
	} {
		f := pflag.NewFlagSet("soak", pflag.ContinueOnError)
		addPassed(f)
		if err := f.Parse([]string{"--insecure", "--ws-hello", `{"a":1,"b":2}`, "--subprotocol", "a,b"}); err != nil {
			t.Fatal(err)
		}
		var o foreignOptions
		o.To, o.URLs = c.to, []string{c.urls}
		toFlood, toGen := o.options(f)
		want := []string{"--subprotocol=a", "--subprotocol=b", `--ws-hello={"a":1,"b":2}`}
		if c.toFlood {
			want = append(want, "--insecure=true")
		}
		if !slices.Equal(toFlood, want) || slices.Contains(toGen, "--insecure=true") != c.toGen || len(toGen) > 1 {
			t.Errorf("%s %s: to flood %q, to msggen %q", c.to, c.urls, toFlood, toGen)
		}
	}
}
