package wire

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestAppendBasic(t *testing.T) {
	for _, c := range []struct{ userinfo, want string }{
		{"Aladdin:open%20sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, // RFC 7617 section 2
		{"test:123%C2%A3", "Basic dGVzdDoxMjPCow=="},                    // section 2.1
		{"me", "Basic bWU6"},
		{":", "Basic Og=="},
		{"a:b:c", "Basic YTpiOmM="},
		{"a%3Ab:c", ""},
		{"a%zz:c", ""},
		{"a:%0d%0aX", ""},
		{"a:%00", ""},
		{"a%09:b", ""},
		{"a[b:c", ""}, {"a:b c", ""}, {"a/b", ""}, {"\u00fc:b", ""},
		{"a@b:c", "Basic YUBiOmM="},
	} {
		got, err := AppendBasic([]byte("x"), []byte(c.userinfo))
		var bad *Error
		if string(got) != "x"+c.want || (err == nil) != (c.want != "") || err != nil && !errors.As(err, &bad) {
			t.Errorf("%q: %q, %v; want %q", c.userinfo, got, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "zz") {
			t.Errorf("%q: the error tells a part of it: %v", c.userinfo, err)
		}
	}
}

func TestRedactURL(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"http://me:secret@h/x", "http://me:xxxxx@h/x"},
		{"POST https://me:s@cret@h:80/{id}", "POST https://me:xxxxx@h:80/{id}"},
		{"http://me@h:80/x", "http://me@h:80/x"},
		{"http://h:80/@x", "http://h:80/@x"},
		{"http://[::1]:80/@x", "http://[::1]:80/@x"},
		{"http://me:sec/ret@h/x", "http://me:xxxxx@h/x"},
		{"http://me:secret@h/a:b@c", "http://me:xxxxx@h/a:b@c"},
		{"http://h/a:b@c", "http://h/a:b@c"},
		{"me:secret@h", "me:secret@h"},
		{"http://me:se", "http://me:se"},
		{"://", "://"}, {"", ""},
	} {
		if got := RedactURL(c.in); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

// FuzzUserinfo: what net/url makes of a URL's user is what we make of it, and RedactURL keeps no password.
func FuzzUserinfo(f *testing.F) {
	for _, s := range []string{"me:secret", "a%20b:%41", "x", ":", "a:b:c", "a@b:c@d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, userinfo string) {
		got, err := AppendBasic(nil, []byte(userinfo))
		u, urlErr := url.Parse("http://" + userinfo + "@h/")
		if urlErr != nil || u.User == nil || u.Host != "h" {
			return
		}
		password, _ := u.User.Password()
		if err == nil {
			r, _ := http.NewRequest("GET", "http://h/", nil)
			r.SetBasicAuth(u.User.Username(), password)
			if want := r.Header.Get("Authorization"); string(got) != want {
				t.Fatalf("%q: %q, net/http has %q", userinfo, got, want)
			}
		}
		if _, raw, ok := strings.Cut(userinfo, ":"); ok && len(raw) > 5 && strings.Contains(RedactURL("http://"+userinfo+"@h/"), ":"+raw+"@") && !strings.Contains("xxxxx", raw) {
			t.Fatalf("%q is told: %q", userinfo, RedactURL("http://"+userinfo+"@h/"))
		}
	})
}
