package flood

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"cometctl/internal/wire"
)

// Runs says the messages of which runs of a generator a flood counts as its own. Those of others are told apart in Result.Runs: they are
// in no other count, nor in a distribution. The zero Runs are all there are.
type Runs struct {
	Tag wire.RunTag // of any worker of the one run that counts; 0: there is no such one
	New bool        // only runs that begin after the flood does

	from int64 // New: when that was, in ns since the epoch
}

// ParseRuns reads a run's tag, as msggen's result has it in run.tag, or "new": only the runs that begin after the flood does.
func ParseRuns(text string) (Runs, error) {
	if text == "" {
		return Runs{}, nil
	}
	if text == "new" {
		return Runs{New: true}, nil
	}
	tag, err := strconv.ParseUint(text, 10, 64)
	if err != nil || tag == 0 {
		return Runs{}, fmt.Errorf("%q: give the tag of a run, such as 17000000000000000 (run.tag in the result of msggen), or new for those that begin after this flood", text)
	}
	return Runs{Tag: wire.RunTag(tag).First()}, nil
}

// String is what ParseRuns reads.
func (r Runs) String() string {
	switch {
	case r.Tag != 0:
		return strconv.FormatUint(uint64(r.Tag), 10)
	case r.New:
		return "new"
	}
	return ""
}

// count tells whether the run whose first worker has this tag counts.
func (r Runs) count(first wire.RunTag) bool {
	if r.Tag != 0 {
		return first == r.Tag.First()
	}
	return !r.New || first.Start().UnixMilli() >= r.from/int64(time.Millisecond)
}

// since is r for a flood that began at the time now.
func (r Runs) since(now int64) Runs {
	r.from = now
	return r
}

// maxRuns is how many runs are told apart; otherRuns is the tag under which the messages of all further ones are summed up, those that count
// and those that do not.
const (
	maxRuns               = 200
	otherRuns wire.RunTag = 0
)

// runSums are the counts of one run, or of several.
type runSums struct {
	messages, duplicated, reordered, late uint64
	missing                               int64
}

func (s *runSums) add(o runSums) {
	s.messages += o.messages
	s.duplicated += o.duplicated
	s.reordered += o.reordered
	s.late += o.late
	s.missing += o.missing
}

// runCount is what is counted of one run, all its workers together.
type runCount struct {
	first wire.RunTag // of worker 0
	mine  bool        // it is one of those that are wanted
	runSums
}

// of returns which run among the runs that are told apart already the messages with this tag are counted for. Where there are too many, it is
// the one that sums up all further ones.
func (r Runs) of(tag wire.RunTag, known int) runCount {
	c := runCount{first: tag.First(), mine: r.count(tag.First())}
	if known >= maxRuns && (r.Tag == 0 || !c.mine) {
		c.first = otherRuns
	}
	return c
}

// named is how many of the runs are told apart.
func named(runs []runCount) (n int) {
	for i := range runs {
		if runs[i].first != otherRuns {
			n++
		}
	}
	return n
}

// order sorts runs by their tags.
func (c runCount) order(o runCount) int {
	if c.first != o.first || c.mine == o.mine {
		return cmp.Compare(c.first, o.first)
	} else if c.mine {
		return 1
	}
	return -1
}

// run returns the index of the run that messages with this tag are counted for.
func (t *tracker) run(tag wire.RunTag) int32 {
	find := func(run runCount) int {
		return slices.IndexFunc(t.runs, func(r runCount) bool { return r.order(run) == 0 })
	}
	i := find(t.wanted.of(tag, 0))
	if i < 0 {
		run := t.wanted.of(tag, named(t.runs))
		if i = find(run); i < 0 {
			i = len(t.runs)
			t.runs = append(t.runs, run)
		}
	}
	return int32(i)
}

// Run is what was received of one run of a generator, all its workers together.
type Run struct {
	Tag        string    `json:"tag"`      // as msggen's run.tag; "0": all runs beyond the first 200
	Start      time.Time `json:"start"`    // when it began, as its tag says
	Counted    bool      `json:"counted"`  // it is in the result's own counts
	Messages   uint64    `json:"messages"` // what follows means what it means in Result
	Missing    uint64    `json:"missing"`
	Duplicated uint64    `json:"duplicated"`
	Reordered  uint64    `json:"reordered"`
	Late       uint64    `json:"late"`
}

// addRuns adds the counts of runs to those of t, which stay sorted by their tags.
func (t *Tally) addRuns(runs []runCount) {
	for _, o := range runs {
		if o.runSums == (runSums{}) {
			continue
		}
		i, found := slices.BinarySearchFunc(t.runs, o, runCount.order)
		if !found && named(t.runs) >= maxRuns {
			o.first = otherRuns
			i, found = slices.BinarySearchFunc(t.runs, o, runCount.order)
		}
		if !found {
			t.runs = slices.Insert(t.runs, i, runCount{first: o.first, mine: o.mine})
		}
		t.runs[i].add(o.runSums)
	}
}

// resultRuns is what a Result tells of the runs.
func (t *Tally) resultRuns() (runs []Run) {
	for _, r := range t.runs {
		runs = append(runs, Run{Tag: strconv.FormatUint(uint64(r.first), 10), Start: r.first.Start().UTC(), Counted: r.mine, Messages: r.messages,
			Missing: uint64(max(r.missing, 0)), Duplicated: r.duplicated, Reordered: r.reordered, Late: r.late})
	}
	return runs
}
