package wire

import (
	"fmt"
	"hash/crc32"
	"math"
	"regexp"
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
	if first := NewRunTag(start, 0); tag.First() != first || first.First() != first {
		t.Errorf("first worker %d, want %d", tag.First(), first)
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
func stampText(s Stamp) string {
	if s.Corrupt {
		return "corrupt"
	}
	text := fmt.Sprintf("~%d.%s.%d.%d", s.Run, s.ID, s.Seq, s.Due)
	if s.Lag == NoLag {
		return text + "~"
	}
	return summed(fmt.Sprintf("%s.%d", text, s.Lag.Microseconds()))
}

// summed puts the checksum behind the text of a stamp.
func summed(text string) string {
	return fmt.Sprintf("%s.%d~", text, crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)))
}

var goodIDs = []string{"1", "10000", "a~b.c", "~", ".", "..", "~~", ".~", "1.2", "~1.2.3.4~", "1.2.3~beta", "1.2~", "a.1.2", "..~..",
	strings.Repeat("~", 128), strings.Repeat(".1~", 42), strings.Repeat("x", 128), "0", "~0.0.0.0", "~1.2.3.4.5.6~", "1.2.3.4.5~beta"}

func TestStampRoundTrip(t *testing.T) {
	for _, id := range goodIDs {
		for _, s := range []Stamp{
			{Run: aRun, ID: []byte(id), Seq: 1, Due: aDue, Lag: NoLag},
			{Run: aRun, ID: []byte(id), Seq: 1, Due: aDue},
			{Run: aRun, ID: []byte(id), Seq: math.MaxUint64, Due: math.MaxInt64, Lag: MaxLag},
			{Run: aRun, ID: []byte(id), Seq: math.MaxUint64, Due: math.MaxInt64, Lag: NoLag},
			{Run: 0, ID: []byte(id), Seq: 1, Due: 1 << 32, Lag: 1234 * time.Microsecond},
			{Run: NewRunTag(time.Unix(0, aDue), 0), ID: []byte(id), Seq: 7, Due: aDue - int64(24*time.Hour), Lag: time.Second},
		} {
			text := AppendStamp([]byte("x"), s.Run, s.ID, s.Seq, s.Due, s.Lag)
			if string(text) != "x"+stampText(s) {
				t.Fatalf("got %q, want %q", text, "x"+stampText(s))
			}
			got, n, ok := NextStamp(append(text, "'<br/>"...))
			if !ok || n != len(text) || stampText(got) != stampText(s) || string(got.ID) != id {
				t.Errorf("%q: got %q, %d, %v", text, stampText(got), n, ok)
			}
		}
	}
	tag := longest
	tag.Run = math.MaxUint64
	if n := len(stampText(tag)); n != MaxStamp {
		t.Errorf("the longest stamp has %d bytes, MaxStamp is %d", n, MaxStamp)
	}
}

// A lag is told in whole us, no less than none and no more than MaxLag.
func TestStampLag(t *testing.T) {
	for lag, want := range map[time.Duration]time.Duration{0: 0, 999: 0, 1000: 1000, -time.Second: 0, math.MaxInt64: MaxLag} {
		s, _, ok := NextStamp(AppendStamp(nil, aRun, []byte("1"), 1, aDue, lag))
		if !ok || s.Lag != want {
			t.Errorf("lag %v came as %v, %v; want %v", lag, s.Lag, ok, want)
		}
	}
}

// A byte of a stamp that has become another is noticed, wherever behind its run: the stamp is corrupt, and nothing is taken for one. What
// spoils tilde or run leaves nothing that could be told from text; a gap in the sequence is all there is then. And a tilde in the place of
// the dot behind DUE makes a whole stamp in the short form, of the same message.
func TestStampSpoilt(t *testing.T) {
	good := AppendStamp(nil, aRun, []byte("12.a"), 42, aDue, 17*time.Microsecond)
	run, short := len("~17000000000000003"), len("~17000000000000003.12.a.42.1700000000123456789")
	for at := range good {
		for _, c := range []byte("0179~.ax'\x00\xff") {
			if good[at] == c || at == short && c == '~' {
				continue
			}
			text := "Recvd msg #1: 'Fake message Num = 42 " + string(good[:at]) + string(c) + string(good[at+1:]) + "'<br/>"
			found, rest := readStamps(t, [][]byte{[]byte(text)})
			got := strings.Join(found, " ")
			if rest != "" || got != "corrupt" && !(at <= run && got == "") {
				t.Errorf("%q: got %q, rest %q", text, got, rest)
			}
		}
		if text := string(good[:at]) + "'<br/>"; at > run { // cut short
			if found, rest := readStamps(t, [][]byte{[]byte(text)}); len(found) != 1 || found[0] != "corrupt" || rest != "" {
				t.Errorf("%q: got %q, rest %q", text, found, rest)
			}
		}
	}
}

const (
	aDay = "1700000000123456789" // aDue
	due  = "4294967296"          // the least
)

var longID = strings.Repeat("x", 128)

var (
	summedStamp = summed("~1.2.3." + due + ".5")
	realStamp   = summed("~17000000000000003.2.3." + aDay + ".5")
)

var stampTexts = []struct {
	name, text string
	want       []string
	rest       string // what may be the beginning of a stamp
}{
	{"none", "Recvd msg #1: 'Hello'<br/>\r\n", nil, ""},
	{"one", "Recvd msg #1: 'Fake message Num = 42 ~1.2.3." + due + "~'<br/>\r\n", []string{"~1.2.3." + due + "~"}, ""},
	{"one with a sum", "Recvd msg #1: 'Fake message Num = 42 " + summedStamp + "'<br/>\r\n", []string{summedStamp}, ""},
	{"tilde before", "a~b ~1.2.3." + due + "~", []string{"~1.2.3." + due + "~"}, ""},
	{"tildes around", "~~~1.2.3." + due + "~~~", []string{"~1.2.3." + due + "~"}, "~"},
	{"tildes around a sum", "~~" + summedStamp + "~~", []string{summedStamp}, "~"},
	{"two in a row", "~1.2.3." + due + "~" + summedStamp, []string{"~1.2.3." + due + "~", summedStamp}, ""},
	{"two that share a tilde", "~1.2.3." + due + "~5.6.7." + due + "~", []string{"~1.2.3." + due + "~"}, "~"},
	{"torn, then whole", "~1.2.3 ~5.6.7." + due + "~ x", []string{"~5.6.7." + due + "~"}, ""},
	{"torn, then whole, by the clock", "~17000000000000003.2.3 " + realStamp + " x", []string{"corrupt", realStamp}, ""},
	{"torn by a line end", "~1.2.3.\r\n4~", nil, "~"},
	{"torn and glued: the first beginning counts", "~1.2.3~5.6.7." + due + "~", []string{"~1.2.3~5.6.7." + due + "~"}, ""},
	{"torn and glued to one with a sum", "~17000000000000003.2.3" + realStamp, []string{"corrupt", realStamp}, ""},
	{"wrong sum", "~17000000000000003.2.3." + aDay + ".5.6~ ", []string{"corrupt"}, ""},
	{"wrong sum, then whole", "~17000000000000003.2.3." + aDay + ".5.6~" + realStamp, []string{"corrupt", realStamp}, ""},
	{"wrong sum, and no time in the run", "~1.2.3." + due + ".5.6~ ", nil, ""},
	{"sum of the stamp without its tilde", "~" + summed("17000000000000003.2.3."+aDay+".5") + " ", []string{"corrupt"}, ""},
	{"sum too big", "~17000000000000003.2.3." + aDay + ".5.4294967296~ ", []string{"corrupt"}, ""},
	{"lag too big", summed("~1.2.3."+due+".10000000000000") + " ", nil, ""},
	{"lag with a sign", summed("~1.2.3."+due+".-5") + " ", nil, ""},
	{"sum without a lag", summed("~1.2.3."+due) + " ", nil, ""},
	{"no id", "~1..3." + due + "~ ", nil, ""},
	{"no id, with a sum", summed("~1..3."+due+".5") + " ", nil, ""},
	{"too few parts", "~1.2." + due + "~ ", nil, ""},
	{"too few parts, by the clock", "~17000000000000003.2." + aDay + "~ ", []string{"corrupt"}, ""},
	{"id of 128", "~1." + longID + ".3." + due + "~", []string{"~1." + longID + ".3." + due + "~"}, ""},
	{"id of 129", "~1.x" + longID + ".3." + due + "~ ", nil, ""},
	{"id with a space", "~1.a b.3." + due + "~", nil, "~"},
	{"id with an escape", "~1.a%20b.3." + due + "~", nil, "~"},
	{"run too big", "~18446744073709551616.2.3." + due + "~", nil, "~"},
	{"sequence too big", "~1.2.18446744073709551616." + due + "~ ", nil, ""},
	{"due too big", "~1.2.3.9223372036854775808~ ", nil, ""},
	{"due too small: it is taken for a sum", "~1.2.3.4294967295~ ", nil, ""},
	{"negative due", "~1.2.3.-4~ ", nil, ""},
	{"leading zeros", "~01.2.3." + due + "~ ~1.2.03." + due + "~ ~1.2.3.0" + due + "~ ", nil, ""},
	{"leading zeros in front of a sum", summed("~1.2.3."+due+".05") + " " + summed("~1.2.3.0"+due+".5") + " ", nil, ""},
	{"letters in numbers", "~a.2.3." + due + "~ ~1.2.c." + due + "~ ~1.2.3.d~ ", nil, ""},
	{"unfinished", "x ~1.2.3." + due, nil, "~1.2.3." + due},
	{"unfinished sum", "x ~1.2.3." + due + ".5.6", nil, "~1.2.3." + due + ".5.6"},
	{"unfinished, by the clock", "x " + realStamp[:20], nil, realStamp[:20]},
	{"unfinished run", "x ~17", nil, "~17"},
	{"only a tilde", "x ~", nil, "~"},
	{"about a number", "~12345678901234567 ~1234567890.12345 ", nil, ""},
	{"looks like one for long", "~1." + strings.Repeat("x", 500), nil, ""},
	{"looks like one for long, by the clock", "~17000000000000003." + strings.Repeat("x", 500), []string{"corrupt"}, ""},
	{"longest", stampText(longest) + "~", []string{stampText(longest)}, "~"},
	{"looks like the longest", "~18446744073709551615." + strings.Repeat("x", 500), nil, ""},
	{"digits for long", "~" + strings.Repeat("1", 500), nil, ""},
	{"tildes for long", strings.Repeat("~", 500), nil, "~"},
	{"due before its run", "~17000000000000003.a.1." + due + "~ ", []string{"corrupt"}, ""},
	{"id that looks like an end", "~17000000000000003.1.2.3~beta.1.1700000000123456789~",
		[]string{"~17000000000000003.1.2.3~beta.1.1700000000123456789~"}, ""},
	{"id that looks like an end with a sum", summed("~17000000000000003.1.2.3.4.5~beta.1.1700000000123456789.6"),
		[]string{summed("~17000000000000003.1.2.3.4.5~beta.1.1700000000123456789.6")}, ""},
}

// longest is as long as a stamp of our days can be, and with the greatest run its checksum has all its digits.
var longest = Stamp{Run: aRun, ID: []byte(longID), Seq: math.MaxUint64 - 1, Due: math.MaxInt64, Lag: MaxLag}

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
				if !s.Corrupt && !strings.HasSuffix(string(buf[:n]), text) {
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
// beginning that is no stamp is passed over, and counts as a corrupt one where it is sure to be one, with all behind it that goes on as a stamp
// does but what begins a whole one. A stamp's bytes belong to no other.
func slowStamps(text string) (found []string) {
	for i := 0; i < len(text); i++ {
		what, size := slowStamp(text[i:])
		switch {
		case what == "corrupt":
			found = append(found, what)
			i += slowPast(text[i:i+abs(size)], size < 0) - 1
		case what != "":
			found = append(found, what)
			i += size - 1
		}
	}
	return found
}

// slowStamp returns what text begins with, and how far that reaches: below 0 where it is longer than a stamp can be.
func slowStamp(text string) (what string, size int) {
	if text[0] != '~' {
		return "", 0
	}
	end := 1
	for ; end < len(text) && end < MaxStamp; end++ {
		what := judgeStamp(text[:end+1])
		if what == "corrupt" && !sureBeginning.MatchString(text) {
			return "", 0
		} else if what != "" {
			return what, end + 1
		}
	}
	if !sureBeginning.MatchString(text) || open(text[1:]) {
		return "", 0
	}
	dot := strings.Index(text, ".")
	for end = dot + 1; end < min(len(text), dot+1+maxRest+1); end++ {
		if !validID(text[end : end+1]) {
			return "corrupt", end + 1
		}
	}
	return "corrupt", -end
}

// slowPast is how much of a corrupt stamp is not the beginning of another one.
func slowPast(text string, long bool) int {
	for i := 1; i < len(text); i++ {
		if text[i] != '~' {
			continue
		}
		if what, _ := slowStamp(text[i:]); what != "" && what != "corrupt" || what == "" && long && mayGoOn(text[i:]) {
			return i
		}
	}
	return len(text)
}

// mayGoOn tells whether a text without an end may still become a stamp.
func mayGoOn(text string) bool {
	run, rest, dot := strings.Cut(text[1:], ".")
	_, ok := number(run)
	return len(run) <= 20 && (ok && dot && open(text[1:]) || !dot && strings.Trim(run, "0123456789") == "" && len(rest) == 0)
}

func abs(n int) int { return max(n, -n) }

var sureBeginning = regexp.MustCompile(`^~([1-9][0-9]{15,16})\.`)

const maxRest = 128 + 1 + 20 + 1 + 19 + 1 + 13 + 1 + 10 // behind the run's dot

// open tells whether what comes next may still make a stamp of a beginning and this.
func open(text string) bool {
	dot := strings.Index(text, ".")
	return len(text)-dot-1 <= maxRest && validRest(text)
}

func validRest(text string) bool {
	return text == "" || validID(text[:min(len(text), 128)]) && validRest(text[min(len(text), 128):])
}

// judgeStamp returns the text of a stamp, "corrupt" for one with a wrong sum, and "" for anything else.
func judgeStamp(text string) string {
	if len(text) < 2 || text[len(text)-1] != '~' {
		return ""
	}
	parts := strings.Split(text[1:len(text)-1], ".")
	numbers := 2 // of SEQ and DUE
	if n, ok := number(parts[len(parts)-1]); ok && n < 1<<32 {
		numbers = 4
	}
	if len(parts) < 1+1+numbers {
		return ""
	}
	id, last := strings.Join(parts[1:len(parts)-numbers], "."), parts[len(parts)-numbers:]
	run, ok1 := number(parts[0])
	_, ok2 := number(last[0])
	due, ok3 := number(last[1])
	if !ok1 || !ok2 || !ok3 || !validID(id) || due < 1<<32 || due > math.MaxInt64 || int64(due/1e6) < int64(run/10000)-24*60*60*1000 {
		return ""
	}
	if numbers == 4 {
		if lag, ok := number(last[2]); !ok || lag > 9_999_999_999_999 {
			return ""
		}
		if text != summed(strings.TrimSuffix(text, "."+last[3]+"~")) {
			return "corrupt"
		}
	}
	return text
}

// number reads what fmt would write.
func number(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == text
}

func validID(id string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
	return len(id) >= 1 && len(id) <= 128 && strings.Trim(id, alphabet) == ""
}
