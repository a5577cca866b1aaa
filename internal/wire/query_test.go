package wire

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestQueryValue(t *testing.T) {
	for _, c := range []struct {
		query, name, value string
		ok                 bool
	}{
		{"", "a", "", false}, {"a", "a", "", true}, {"a=", "a", "", true}, {"a=1", "a", "1", true}, {"b=1", "a", "", false},
		{"since=12&wait=30s", "wait", "30s", true}, {"since=12&wait=30s", "since", "12", true}, {"a=1&a=2", "a", "1", true},
		{"aa=1&a=2", "a", "2", true}, {"a=b=c", "a", "b=c", true}, {"&&a=1&", "a", "1", true}, {"=1", "", "1", true}, {"&&a", "", "", false},
		{"a=x+y%20z%2B", "a", "x y z+", true}, {"%61=1", "a", "1", true}, {"a+b=1", "a b", "1", true}, {"A=1", "a", "", false},
		{"a=12%3A5%2C57%3a6", "a", "12:5,57:6", true}, {"%zz=1&a=2", "a", "2", true}, {"b=%zz&a=2", "a", "2", true}, {"a;b=1", "a", "", false}, {"+=1", "+", "", false}, {"+=1", " ", "1", true},
	} {
		if v, ok, err := QueryValue([]byte(c.query), c.name); string(v) != c.value || ok != c.ok || err != nil {
			t.Errorf("%q in %q: got %q, %v, %v; want %q, %v", c.name, c.query, v, ok, err, c.value, c.ok)
		}
	}
	for query, reason := range map[string]string{"a=%": `"%"`, "a=%4": `"%4"`, "b&a=%zz": `"%zz"`, "a=%00": "%00"} {
		v, ok, err := QueryValue([]byte(query), "a")
		wantError(t, err, 400, reason)
		if ok || v != nil {
			t.Errorf("%q: got %q, %v with the error", query, v, ok)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"30s": 30 * time.Second, "1m30s": 90 * time.Second, "500ms": 500 * time.Millisecond, "0": 0, "0s": 0,
		"30": 30 * time.Second, "2562047h": 2562047 * time.Hour, "9223372036854ms": 9223372036854 * time.Millisecond} {
		if d, err := ParseDuration([]byte(text)); d != want || err != nil {
			t.Errorf("%q: got %v, %v; want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"", "s", "-1s", "-30", "1d", "1 s", ".", "1.2.3", "9999999h", "2562047h60m", "9223372036854775807", "1s2", "1us", "1.5s", "1s1", "m", "soon", "1e3s", "NaN", "30s\x00"} {
		_, err := ParseDuration([]byte(text))
		wantError(t, err, 400, "bad duration")
	}
}

// package time is the oracle; it reads more.
func FuzzDuration(f *testing.F) {
	for _, s := range []string{"30s", "1m30s", "500ms", "30", "0", "1h0m", "9999999h", "-1s", "1s2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration([]byte(s))
		if err != nil {
			wantError(t, err, 400, "bad duration")
			return
		}
		if strings.Trim(s, "0123456789") == "" {
			s += "s"
		}
		if want, err := time.ParseDuration(s); d != want || err != nil {
			t.Fatalf("%q: got %v; package time says %v, %v", s, d, want, err)
		}
	})
}

// net/url is the oracle. It refuses a query with a semicolon, and takes %00; a parameter with a bad escape it passes over.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "since=12&wait=30s", "a=x+y%20z%2B&%61=1", "a=%zz&a=1", "a&&=&a", "a=%00"} {
		f.Add(s, "a")
	}
	f.Add("+", "+")
	f.Fuzz(func(t *testing.T, query, name string) {
		value, ok, err := QueryValue([]byte(query), name)
		if err != nil {
			wantError(t, err, 400, "request target")
			return
		}
		if strings.Contains(query, ";") || strings.Contains(query, "%00") {
			return
		}
		values, _ := url.ParseQuery(query)
		if want := values[name]; ok != (len(want) > 0) || ok && want[0] != string(value) {
			t.Fatalf("%q in %q: got %q, %v; net/url says %q", name, query, value, ok, want)
		}
	})
}
