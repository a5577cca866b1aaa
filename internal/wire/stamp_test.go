package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestRunTag(t *testing.T) {
	start := time.Date(2026, 5, 4, 3, 2, 1, 987_654_321, time.UTC)
	tag := NewRunTag(start, 9999)
	if tag.Worker() != 9999 || !tag.Start().Equal(start.Truncate(time.Millisecond)) {
		t.Errorf("got worker %d, start %v; want 9999, %v", tag.Worker(), tag.Start(), start)
	}
	for _, worker := range []int{-1, 10000} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("worker %d made a tag", worker)
				}
			}()
			NewRunTag(start, worker)
		}()
	}
}

const (
	aRun = RunTag(17000000000000003)      // worker 3 of a run in November 2023
	aDue = int64(1_700_000_000_123456789) // 123 ms later
)

// stampText is what fmt makes of a stamp, to compare AppendStamp with.
func stampText(s Stamp) string { return fmt.Sprintf("~%d.%s.%d.%d~", s.Run, s.ID, s.Seq, s.Due) }

var goodIDs = []string{"1", "10000", "a~b.c", "~", ".", "..", "~~", ".~", "1.2", "~1.2.3.4~", "1.2.3~beta", "1.2~", "a.1.2", "..~..",
	strings.Repeat("~", 128), strings.Repeat(".1~", 42), strings.Repeat("x", 128), "0", "~0.0.0.0"}

func TestStampRoundTrip(t *testing.T) {
	for _, id := range goodIDs {
		for _, s := range []Stamp{
			{aRun, []byte(id), 1, aDue}, {aRun, []byte(id), math.MaxUint64, math.MaxInt64},
			{NewRunTag(time.Unix(0, aDue), 0), []byte(id), 7, aDue - int64(24*time.Hour)},
		} {
			text := AppendStamp([]byte("x"), s.Run, s.ID, s.Seq, s.Due)
			if string(text) != "x"+stampText(s) {
				t.Fatalf("got %q, want %q", text, "x"+stampText(s))
			}
			got, n, ok := NextStamp(append(text, "'<br/>"...))
			if !ok || n != len(text) || stampText(got) != stampText(s) || string(got.ID) != id {
				t.Errorf("%q: got %q, %d, %v", text, stampText(got), n, ok)
			}
		}
	}
	longest := AppendStamp(nil, math.MaxUint64, []byte(strings.Repeat("x", 128)), math.MaxUint64, math.MaxInt64)
	if len(longest) != MaxStamp {
		t.Errorf("the longest stamp has %d bytes, MaxStamp is %d", len(longest), MaxStamp)
	}
}

var stampTexts = []struct {
	name, text string
	want       []string
	rest       string // what may be the beginning of a stamp
}{
	{"none", "Recvd msg #1: 'Hello'<br/>\r\n", nil, ""},
	{"one", "Recvd msg #1: 'Fake message Num = 42 ~1.2.3.4~'<br/>\r\n", []string{"~1.2.3.4~"}, ""},
	{"tilde before", "a~b ~1.2.3.4~", []string{"~1.2.3.4~"}, ""},
	{"tildes around", "~~~1.2.3.4~~~", []string{"~1.2.3.4~"}, "~"},
	{"two in a row", "~1.2.3.4~~5.6.7.8~", []string{"~1.2.3.4~", "~5.6.7.8~"}, ""},
	{"two that share a tilde", "~1.2.3.4~5.6.7.8~", []string{"~1.2.3.4~"}, "~"},
	{"torn, then whole", "~1.2.3 ~5.6.7.8~ x", []string{"~5.6.7.8~"}, ""},
	{"torn by a line end", "~1.2.3.\r\n4~", nil, "~"},
	{"torn and glued: the first beginning counts", "~1.2.3~5.6.7.8~", []string{"~1.2.3~5.6.7.8~"}, ""},
	{"no id", "~1..3.4~ ", nil, ""},
	{"too few parts", "~1.2.3~ ", nil, ""},
	{"id of 128", "~1." + strings.Repeat("x", 128) + ".3.4~", []string{"~1." + strings.Repeat("x", 128) + ".3.4~"}, ""},
	{"id of 129", "~1." + strings.Repeat("x", 129) + ".3.4~ ", nil, ""},
	{"id with a space", "~1.a b.3.4~", nil, "~"},
	{"id with an escape", "~1.a%20b.3.4~", nil, "~"},
	{"run too big", "~18446744073709551616.2.3.4~", nil, "~"},
	{"sequence too big", "~1.2.18446744073709551616.4~ ", nil, ""},
	{"due too big", "~1.2.3.9223372036854775808~ ", nil, ""},
	{"negative due", "~1.2.3.-4~ ", nil, ""},
	{"leading zeros", "~01.2.3.4~ ~1.2.03.4~ ~1.2.3.04~ ", nil, ""},
	{"letters in numbers", "~a.2.3.4~ ~1.2.c.4~ ~1.2.3.d~ ", nil, ""},
	{"unfinished", "x ~1.2.3.4", nil, "~1.2.3.4"},
	{"unfinished run", "x ~17", nil, "~17"},
	{"only a tilde", "x ~", nil, "~"},
	{"looks like one for long", "~1." + strings.Repeat("x", 500), nil, ""},
	{"longest", string(AppendStamp(nil, aRun, []byte(strings.Repeat("x", 128)), math.MaxUint64, math.MaxInt64)) + "~",
		[]string{string(AppendStamp(nil, aRun, []byte(strings.Repeat("x", 128)), math.MaxUint64, math.MaxInt64))}, "~"},
	{"looks like the longest", "~18446744073709551615." + strings.Repeat("x", 500), nil, ""},
	{"digits for long", "~" + strings.Repeat("1", 500), nil, ""},
	{"tildes for long", strings.Repeat("~", 500), nil, "~"},
	{"due before its run", "~17000000000000003.a.1.2~ ", nil, ""},
	{"id that looks like an end", "~17000000000000003.1.2.3~beta.1.1700000000123456789~",
		[]string{"~17000000000000003.1.2.3~beta.1.1700000000123456789~"}, ""},
}

// readStamps finds the stamps in pieces as a connection would hand them over, keeping what NextStamp asks to keep.
func readStamps(t testing.TB, pieces [][]byte) (found []string, rest string) {
	t.Helper()
	var buf []byte
	for _, p := range pieces {
		buf = append(buf, p...)
		for ok := true; ok; {
			var s Stamp
			var n int
			if s, n, ok = NextStamp(buf); ok {
				text := stampText(s)
				if !strings.HasSuffix(string(buf[:n]), text) {
					t.Fatalf("found %q, but %q ends otherwise", text, buf[:n])
				}
				found = append(found, text)
			}
			buf = buf[n:]
		}
		if len(buf) >= MaxStamp {
			t.Fatalf("asks to keep %d bytes, MaxStamp is %d", len(buf), MaxStamp)
		}
	}
	return found, string(buf)
}

func TestNextStamp(t *testing.T) {
	for _, c := range stampTexts {
		t.Run(c.name, func(t *testing.T) {
			want := fmt.Sprintf("%q %q", c.want, c.rest)
			found, rest := readStamps(t, [][]byte{[]byte(c.text)})
			if got := fmt.Sprintf("%q %q", found, rest); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			for how, pieces := range cuts([]byte(c.text)) {
				found, rest := readStamps(t, pieces)
				if got := fmt.Sprintf("%q %q", found, rest); got != want {
					t.Fatalf("%s: got %s, want %s", how, got, want)
				}
			}
			if slow := slowStamps(c.text); fmt.Sprint(slow) != fmt.Sprint(c.want) {
				t.Fatalf("the definition says %q, want %q", slow, c.want)
			}
		})
	}
}

// slowStamps is the definition: of all pairs of tildes that enclose a stamp, the first beginning, then its first end. A
// beginning that is no stamp is passed over, a stamp's bytes belong to no other.
func slowStamps(text string) (found []string) {
	for i := 0; i < len(text); i++ {
		for j := i + 1; text[i] == '~' && j < len(text) && j-i < MaxStamp; j++ {
			if text[j] == '~' && isStamp(text[i:j+1]) {
				found = append(found, text[i:j+1])
				i = j
				break
			}
		}
	}
	return found
}

func isStamp(text string) bool {
	run, rest, _ := strings.Cut(text[1:len(text)-1], ".")
	b := strings.LastIndex(rest, ".")
	if b < 0 {
		return false
	}
	a := strings.LastIndex(rest[:b], ".")
	if a < 0 {
		return false
	}
	r, err1 := strconv.ParseUint(run, 10, 64)
	seq, err2 := strconv.ParseUint(rest[a+1:b], 10, 64)
	due, err3 := strconv.ParseInt(rest[b+1:], 10, 64)
	s := Stamp{RunTag(r), []byte(rest[:a]), seq, due}
	return err1 == nil && err2 == nil && err3 == nil && stampText(s) == text && due >= 0 && validID(rest[:a]) &&
		due/1e6 >= int64(r/10000)-24*60*60*1000
}

func validID(id string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
	return len(id) >= 1 && len(id) <= 128 && strings.Trim(id, alphabet) == ""
}
