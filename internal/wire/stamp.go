package wire

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"
)

// RunTag names one worker of one run of a generator: the time at which the run started in ms since the epoch, times
// 10000, plus the worker's number from 0 to 9999. Sequence numbers count per run tag and id, so that two workers that send
// to one id, or a second run against the same listeners, are never mistaken for reordering.
type RunTag uint64

const runWorkers = 10000

// NewRunTag returns the tag of a worker (0 to 9999; other numbers panic) of a run that started at start, which is rounded
// down to a ms and must not lie before 1970.
func NewRunTag(start time.Time, worker int) RunTag {
	if worker < 0 || worker >= runWorkers {
		panic(fmt.Sprintf("wire: worker %d is not in 0..%d", worker, runWorkers-1))
	}
	return RunTag(start.UnixMilli())*runWorkers + RunTag(worker)
}

// Start is the time at which the run started, to the ms.
func (t RunTag) Start() time.Time { return time.UnixMilli(int64(t / runWorkers)) }

// Worker is the worker's number.
func (t RunTag) Worker() int { return int(t % runWorkers) }

// Stamp is what a generated message says about itself.
type Stamp struct {
	Run RunTag // who sent it
	ID  []byte // to whom: 1 to 128 bytes of A-Z a-z 0-9 . _ ~ -, a part of the bytes that it was found in
	Seq uint64 // number of the message among those of Run for ID, from 1
	Due int64  // when the schedule wanted it sent, in ns since the epoch
}

// Longest forms of the parts of a stamp.
const (
	maxID   = 128
	maxRun  = 20 // digits of a uint64
	maxTail = 1 + 20 + 1 + 19
)

// MaxStamp is the length of the longest stamp in bytes: 192.
const MaxStamp = 1 + maxRun + 1 + maxID + maxTail + 1

// maxLead is how long before the start of its run a message can have been due, in ms. It leaves room for a clock that was
// set; its purpose is to tell a due time from a small number, see NextStamp.
const maxLead = 24 * 60 * 60 * 1000

// AppendStamp appends the stamp ~RUN.ID.SEQ.DUE~, all numbers decimal. The id must be one (see Stamp), and due must not
// be negative nor more than a day before run's Start, or else NextStamp will not find it.
func AppendStamp(dst []byte, run RunTag, id []byte, seq uint64, due int64) []byte {
	dst = append(dst, '~')
	dst = strconv.AppendUint(dst, uint64(run), 10)
	dst = append(dst, '.')
	dst = append(dst, id...)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, due, 10)
	return append(dst, '~')
}

// NextStamp looks for the first stamp in b. If ok, s is that stamp and b[:n] ends with it. Otherwise there is no whole one,
// and b[n:], which is shorter than MaxStamp, may be the beginning of one: keep it in front of what comes next.
//
// Ids may hold dots and tildes, so RUN ends at the first dot, SEQ and DUE follow the last two, and of several readings the
// one that begins first counts, and of those the one that ends first. To end a stamp, a tilde must follow two numbers
// without leading zeros, the second of them a time at most a day before the run's start. So an id such as 1.2.3~beta
// does not end its stamp early: 3 ns after the epoch is before any run.
func NextStamp(b []byte) (s Stamp, n int, ok bool) {
	for {
		i := bytes.IndexByte(b[n:], '~')
		if i < 0 {
			return Stamp{}, len(b), false
		}
		n += i
		s, size, more := parseStamp(b[n:])
		switch {
		case size > 0:
			return s, n + size, true
		case more:
			return Stamp{}, n, false
		}
		n++
	}
}

// parseStamp reads the stamp that begins with b[0], a tilde. size is 0 if there is none; more tells that bytes to come
// may still make b one.
func parseStamp(b []byte) (s Stamp, size int, more bool) {
	digits := span(b[1:min(len(b), 1+maxRun)], isDigit)
	if 1+digits == len(b) {
		return s, 0, true
	}
	run, ok := parseNumber(b[1 : 1+digits])
	if !ok || b[1+digits] != '.' {
		return s, 0, false
	}
	body := b[1+digits+1:]
	whole := len(body) > maxID+maxTail // a stamp that begins here ends in the bytes that we have
	body = body[:min(len(body), maxID+maxTail+1)]
	for end := 0; ; end++ {
		k := bytes.IndexByte(body[end:], '~')
		if k < 0 {
			return s, 0, !whole && span(body[end:], isID) == len(body)-end
		}
		if span(body[end:end+k], isID) < k {
			return s, 0, false
		}
		end += k
		if s, ok := cutStamp(RunTag(run), body[:end]); ok {
			return s, 1 + digits + 1 + end + 1, false
		}
	}
}

// cutStamp reads ID.SEQ.DUE.
func cutStamp(run RunTag, body []byte) (Stamp, bool) {
	body, due, ok := cutNumber(body)
	if !ok || due > math.MaxInt64 || due/1e6+maxLead < uint64(run)/runWorkers {
		return Stamp{}, false
	}
	id, seq, ok := cutNumber(body)
	if !ok || len(id) == 0 || len(id) > maxID {
		return Stamp{}, false
	}
	return Stamp{Run: run, ID: id, Seq: seq, Due: int64(due)}, true
}

// cutNumber cuts b at its last dot and reads the number that follows.
func cutNumber(b []byte) (rest []byte, n uint64, ok bool) {
	i := len(b)
	for i > 0 && class[b[i-1]]&isDigit != 0 {
		i--
	}
	if i == 0 || b[i-1] != '.' {
		return nil, 0, false
	}
	n, ok = parseNumber(b[i:])
	return b[:i-1], n, ok
}

// parseNumber is parseDecimal for numbers without leading zeros.
func parseNumber(b []byte) (uint64, bool) {
	if len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	return parseDecimal(b)
}
