package wire

import (
	"bytes"
	"fmt"
	"hash/crc32"
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

// First is the tag of worker 0 of the same run.
func (t RunTag) First() RunTag { return t - t%runWorkers }

// Worker is the worker's number.
func (t RunTag) Worker() int { return int(t % runWorkers) }

// Stamp is what a generated message says about itself.
type Stamp struct {
	Run RunTag        // who sent it
	ID  []byte        // to whom: 1 to 128 bytes of A-Z a-z 0-9 . _ ~ -, a part of the bytes that it was found in
	Seq uint64        // number of the message among those of Run for ID, from 1
	Due int64         // when the schedule wanted it sent, in ns since the epoch
	Lag time.Duration // from Due to its writing, in whole us; NoLag: it does not say

	// Corrupt tells that there was a stamp and that it is spoilt: its checksum is wrong, or what began as one does not go on as one.
	// No other field means anything then.
	Corrupt bool
}

// NoLag is the Lag of a stamp in the short form, which has neither lag nor checksum.
const NoLag = time.Duration(-1)

// MaxLag is the longest Lag that a stamp can tell: 115 days. A longer one is told as this.
const MaxLag = 9_999_999_999_999 * time.Microsecond

// leastDue is the least Due of a stamp, 4.3 s after the epoch: whatever is smaller can only be a checksum.
const leastDue = 1 << 32

// Longest forms of the parts of a stamp.
const (
	maxID   = 128
	maxRun  = 20 // digits of a uint64
	maxTail = 1 + 20 + 1 + 19 + 1 + 13 + 1 + 10
)

// MaxStamp is the length of the longest stamp in bytes: 217.
const MaxStamp = 1 + maxRun + 1 + maxID + maxTail + 1

// maxLead is how long before the start of its run a message can have been due, in ms. It leaves room for a clock that was
// set; its purpose is to tell a due time from a small number, see NextStamp.
const maxLead = 24 * 60 * 60 * 1000

// isRun tells whether so many digits between a tilde and a dot are a run and no chance: a ms since the epoch times 10000 has had 16 since
// 1973, has 17 until 2286, and a due time has more.
func isRun(digits int) bool { return digits == 16 || digits == 17 }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendStamp appends the stamp ~RUN.ID.SEQ.DUE.LAG.SUM~, all numbers decimal: LAG is lag in us, SUM the CRC-32C of all in front of its
// dot, the tilde included. With NoLag it is ~RUN.ID.SEQ.DUE~. The id must be one (see Stamp), and due must be at least 1<<32 and no
// more than a day before run's Start, or else NextStamp will not find it.
func AppendStamp(dst []byte, run RunTag, id []byte, seq uint64, due int64, lag time.Duration) []byte {
	begin := len(dst)
	dst = append(dst, '~')
	dst = strconv.AppendUint(dst, uint64(run), 10)
	dst = append(dst, '.')
	dst = append(dst, id...)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, due, 10)
	if lag != NoLag {
		dst = append(dst, '.')
		dst = strconv.AppendInt(dst, int64(min(max(lag, 0), MaxLag)/time.Microsecond), 10)
		sum := crc32.Checksum(dst[begin:], castagnoli)
		dst = append(dst, '.')
		dst = strconv.AppendUint(dst, uint64(sum), 10)
	}
	return append(dst, '~')
}

// NextStamp looks for the first stamp in b. If ok, s is that stamp and b[:n] ends with it; where s is corrupt, b[:n] ends with what cannot
// be another one. Otherwise there is no whole one, and b[n:], which is shorter than MaxStamp, may be the
// beginning of one: keep it in front of what comes next.
//
// Ids may hold dots and tildes, so RUN ends at the first dot, the other numbers are read from the right, and of several readings
// the one that begins first counts, and of those the one that ends first. To end a stamp, a tilde must follow numbers without
// leading zeros, of which DUE is at least 1<<32 and at most a day before the run's start, and the last one, if it is less, a SUM. So
// an id such as 1.2.3~beta does not end its stamp early: 3 ns after the epoch is before any run.
//
// A stamp is corrupt where a tilde, a RUN of 16 or 17 digits and a dot are not followed by the rest of one, or its SUM is wrong.
func NextStamp(b []byte) (s Stamp, n int, ok bool) {
	for {
		i := bytes.IndexByte(b[n:], '~')
		if i < 0 {
			return Stamp{}, len(b), false
		}
		n += i
		s, size, more := parseStamp(b[n:])
		switch {
		case s.Corrupt:
			return s, n + past(b[n:n+size], more), true
		case size > 0:
			return s, n + size, true
		case more:
			return Stamp{}, n, false
		}
		n++
	}
}

// past is how much of b, which is a corrupt stamp and has no other in front, is neither a whole one that is glued to it nor the beginning of
// one, for which there must be more to come. What looks like a beginning and is none either is a part of the spoilt one.
func past(b []byte, more bool) int {
	for n := 1; ; n++ {
		i := bytes.IndexByte(b[n:], '~')
		if i < 0 {
			return len(b)
		}
		n += i
		if s, size, open := parseStamp(b[n:]); s.Corrupt {
			continue
		} else if size > 0 || open && more {
			return n
		}
	}
}

// parseStamp reads the stamp that begins with b[0], a tilde. size is 0 if there is none, and how far it was read if it is corrupt; more
// tells that bytes to come may still make b one, or belong to one that begins in a corrupt one.
func parseStamp(b []byte) (s Stamp, size int, more bool) {
	digits := span(b[1:min(len(b), 1+maxRun)], isDigit)
	if 1+digits == len(b) {
		return s, 0, true
	}
	run, ok := parseNumber(b[1 : 1+digits])
	if !ok || b[1+digits] != '.' {
		return s, 0, false
	}
	torn := func(size int, more bool) (Stamp, int, bool) { // it is not whole
		if !isRun(digits) {
			return Stamp{}, 0, false
		}
		return Stamp{Corrupt: true}, size, more
	}
	first := 1 + digits + 1
	body := b[first:min(len(b), first+maxID+maxTail+1)]
	whole := len(body) > maxID+maxTail // a stamp that begins here ends in the bytes that we have
	for end := 0; ; end++ {
		k := bytes.IndexByte(body[end:], '~')
		if k < 0 { // no end, but perhaps a byte that cannot be
			k = len(body) - end
		}
		if n := span(body[end:end+k], isID); n < k {
			return torn(first+end+n+1, false)
		}
		if end += k; end == len(body) {
			if whole {
				return torn(first+end, true)
			}
			return s, 0, true
		}
		if s, ok := cutStamp(RunTag(run), b[:first+end], first); ok {
			if s.Corrupt {
				return torn(first+end+1, false)
			}
			return s, first + end + 1, false
		}
	}
}

// cutStamp reads ID.SEQ.DUE or ID.SEQ.DUE.LAG.SUM, which begins at b[first]; SUM is about all of b before it.
func cutStamp(run RunTag, b []byte, first int) (Stamp, bool) {
	s := Stamp{Run: run, Lag: NoLag}
	body, last, ok := cutNumber(b[first:])
	if !ok {
		return Stamp{}, false
	}
	due := last
	if last < leastDue {
		summed := b[:first+len(body)]
		var lag uint64
		if body, lag, ok = cutNumber(body); !ok || lag > uint64(MaxLag/time.Microsecond) {
			return Stamp{}, false
		}
		if body, due, ok = cutNumber(body); !ok {
			return Stamp{}, false
		}
		s.Lag = time.Duration(lag) * time.Microsecond
		s.Corrupt = uint64(crc32.Checksum(summed, castagnoli)) != last
	}
	if due < leastDue || due > math.MaxInt64 || due/1e6+maxLead < uint64(run)/runWorkers {
		return Stamp{}, false
	}
	s.Due = int64(due)
	if s.ID, s.Seq, ok = cutNumber(body); !ok || len(s.ID) == 0 || len(s.ID) > maxID {
		return Stamp{}, false
	}
	return s, true
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
