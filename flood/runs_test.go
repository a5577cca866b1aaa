package flood

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cometctl/internal/wire"
)

func TestParseRuns(t *testing.T) {
	for text, want := range map[string]Runs{"": {}, "new": {New: true}, "17000000000000003": {Tag: 17000000000000000}, "17000000000000000": {Tag: 17000000000000000}} {
		got, err := ParseRuns(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if back, err := ParseRuns(got.String()); err != nil || back != want {
			t.Errorf("%q: %q, which is %+v, %v", text, got, back, err)
		}
	}
	for _, text := range []string{"0", "-1", "latest", "1e9", "18446744073709551616", "0x10", " 1"} {
		if got, err := ParseRuns(text); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// What does not count is told apart, and is nowhere else: not in a count, a latency or by due time.
func TestLaneCountsOnlyTheRunThatIsWanted(t *testing.T) {
	earlier, other := wire.NewRunTag(time.Unix(0, testStart).Add(-time.Hour), 3), testRun.First()+20000
	for name, tc := range map[string]struct {
		runs Runs
		want string // messages, missing, late messages in the result; then of each run
	}{
		"all":       {Runs{}, "6 1; -1h0m0s true 2 0; 1s true 3 1; 1.002s true 1 0"},
		"one":       {Runs{Tag: testRun}, "3 1; -1h0m0s false 2 0; 1s true 3 1; 1.002s false 1 0"},
		"new":       {Runs{New: true}.since(testStart), "4 1; -1h0m0s false 2 0; 1s true 3 1; 1.002s true 1 0"},
		"none here": {Runs{Tag: 17}, "0 0; -1h0m0s false 2 0; 1s false 3 1; 1.002s false 1 0"},
	} {
		r := newRig(t, 1, "http://127.0.0.1:8000/")
		r.lane.tracker.wanted = tc.runs
		r.plan.byDue = time.Second
		r.lane.tally = NewTally(time.Second)
		r.dialAll()
		r.open(1)
		r.read(1, okHead)
		r.read(1, message(earlier, "1", 8, r.now)+message(earlier, "1", 9, r.now))
		r.read(1, message(testRun, "1", 1, r.now)+message(testRun, "1", 3, r.now)+message(other, "1", 1, r.now)+message(testRun+1, "1", 1, r.now))
		got := r.result()
		text := fmt.Sprint(got.Messages, got.Missing)
		for _, run := range got.Runs {
			text += fmt.Sprint("; ", run.Start.Sub(time.Unix(0, testStart)), " ", run.Counted, " ", run.Messages, " ", run.Missing)
		}
		due := uint64(0)
		for _, n := range got.ByDue.All() {
			due += uint64(n)
		}
		if text != tc.want || due != got.Messages || (got.Latency == nil) != (got.Messages == 0) {
			t.Errorf("%s: %s, %d by due time; want %s", name, text, due, tc.want)
		}
	}
}

// However many runs there are, what is kept of them is bounded, and no message is lost.
func TestTooManyRuns(t *testing.T) {
	var (
		tr tracker
		w  window
	)
	const runs = 3 * maxRuns
	tr.wanted = Runs{Tag: testRun + (runs-1)*10000} // the last of them
	for k := range runs {
		tr.note(&w, testStart, wire.Stamp{Run: testRun + wire.RunTag(k)*10000, ID: []byte("1"), Seq: 2})
	}
	sum := NewTally(0)
	for range 2 {
		sum.addRuns(tr.runs)
	}
	messages, counted := uint64(0), uint64(0)
	for _, r := range sum.runs {
		if messages += r.messages; r.mine {
			counted += r.messages
		}
	}
	if messages != 2*runs || counted != 2 || len(sum.runs) > maxRuns+2 || tr.messages != 1 || tr.missing != 1 {
		t.Errorf("%d messages, %d of them counted, in %d runs; %+v", messages, counted, len(sum.runs), tr.runSums)
	}
	if err := NewTally(0).AddBinary(sum.AppendBinary(nil)); err != nil {
		t.Errorf("%d runs are not read again: %v", len(sum.runs), err)
	}
}

// Who makes up tags has so many sources and no more; their messages are counted all the same.
func TestTooManySources(t *testing.T) {
	var tr tracker
	const more = 10
	for k := range maxSources + more {
		tr.note(new(window), testStart, wire.Stamp{Run: testRun.First() + wire.RunTag(k), ID: []byte("1"), Seq: 1})
	}
	if tr.messages != maxSources+more || len(tr.sources) != maxSources+1 || tr.duplicated+tr.reordered != 0 || tr.missing != 0 {
		t.Errorf("%+v of %d sources", tr.runSums, len(tr.sources))
	}
}
