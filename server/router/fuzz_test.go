package router

import (
	"errors"
	"regexp"
	"strconv"
	"testing"
)

// FuzzID holds ValidID against a regular expression, the compact form against strconv, and two ids against each other:
// they are one id exactly if their bytes are the same.
func FuzzID(f *testing.F) {
	for _, ids := range [][2]string{
		{"7", "007"}, {"0", "00"}, {"9223372036854775807", "9223372036854775808"}, {"18446744073709551617", "1"},
		{"anna", "anna."}, {"a b", "a%20b"}, {"", "\x00"}, {"caf\xc3\xa9", "../etc"},
		{"aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaa"}, {"aaaaaaaaaaaaaaaaaaaab", "aaaaaaaaaaaaaaaaaaaa"},
	} {
		f.Add([]byte(ids[0]), []byte(ids[1]))
	}
	valid := regexp.MustCompile(`\A[A-Za-z0-9._~-]{1,128}\z`)
	f.Fuzz(func(t *testing.T, a, b []byte) {
		got := map[Session]int{}
		r := NewLocal(func(s Session, _ []byte, _ uint64) { got[s]++ })
		for i, id := range [][]byte{a, b} {
			err := ValidID(id)
			if valid.Match(id) != (err == nil) || err != nil && !errors.Is(err, ErrID) {
				t.Fatalf("ValidID(%q) = %v", id, err)
			}
			if errLogin := r.Login(id, Session(i+1)); (errLogin == nil) != (err == nil) {
				t.Fatalf("Login(%q): %v, ValidID: %v", id, errLogin, err)
			}
			if err != nil {
				continue
			}
			want, errNumber := strconv.ParseInt(string(id), 10, 64)
			canonical := errNumber == nil && strconv.FormatInt(want, 10) == string(id) && want >= 0
			if n, ok := number(id); ok != canonical || ok && n != uint64(want) {
				t.Fatalf("number(%q) = %d, %v", id, n, ok)
			}
		}
		same := string(a) == string(b)
		for i, id := range [][]byte{a, b} {
			clear(got)
			if rec, err := r.Send(id, nil, 0); err == nil && (got[Session(i+1)] != 1 || (rec.Sessions == 2) != same) {
				t.Fatalf("%q and %q: message for %q reached %v", a, b, id, got)
			}
		}
		check(t, r)
		r.Logout(1)
		r.Logout(2)
		check(t, r)
	})
}
