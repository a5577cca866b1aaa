// Package memlog samples the memory of a process and its descendants and keeps the samples in the
// memory log, the file that the article's netstat and ps loop wrote.
//
// There are three parts, and each stands alone:
//
//   - The format. A [Sample] is one row. One column table (columns, in this file)
//     says how each cell is written and read; [Writer] and [Reader] both use it and
//     nothing else, so that they cannot come to disagree. The first four columns are
//     the article's: local date, epoch seconds, RSS in KB, established connections.
//     docs/formats.md describes the file for those who read it with other tools.
//
//   - The probe. It looks at one family, which is the target process and all its
//     descendants, and sums up: on Linux straight from /proc and by sock_diag, in constant
//     memory and at a few milliseconds for 20,000 connections, elsewhere through gopsutil.
//     What cannot be had is an empty cell and one line in the log that says why.
//
//   - The loop. [Run] finds the target, samples it at t0, t0+interval, t0+2*interval
//     and so on, whatever the sampling itself costs, and writes down what happened to
//     the target and to the schedule.
//
// None of these types may be used by two goroutines at once; none of them starts a
// goroutine. The package reads no flags and prints nothing but to the writers that it
// is given.
package memlog

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// NA is the value of a Sample's field that could not be had: the cell is empty. All
// real values are zero or more; everything below zero counts as NA.
const NA = -1

// A Sample is one row of the memory log: what the target's family, and the kernel on its
// behalf, held at one moment. What is not the machine's is the sum over the members. Sizes
// are in KB of 1024 bytes, as ps prints them.
type Sample struct {
	Time    time.Time     // when; the log keeps whole seconds and the local date
	RSS     int64         // resident set size, KB
	Conns   int64         // established TCP connections on the target's own listening ports
	Elapsed time.Duration // since the log's first sample, kept to the millisecond
	Anon    int64         // anonymous part of RSS: heap and stacks, no shared file pages, KB
	PSS     int64         // proportional set size: shared pages divided among their users, KB
	Slab    int64         // kernel objects of sockets, files and epoll, the whole machine's, KB
	SockBuf int64         // kernel buffers of TCP sockets, the whole machine's, KB
	FDs     int64         // open descriptors
	CPU     time.Duration // processor time since the start, user and system, kept to the millisecond
	Threads int64         // threads
	Procs   int64         // processes: the members of the family that were alive
}

// clear makes everything in s not available.
func (s *Sample) clear() {
	*s = Sample{RSS: NA, Conns: NA, Elapsed: NA, Anon: NA, PSS: NA, Slab: NA, SockBuf: NA, FDs: NA, CPU: NA, Threads: NA, Procs: NA}
}

// A column is one entry of the table that Reader and Writer share.
type column struct {
	name   string
	append func(dst []byte, s *Sample) []byte // the cell; nothing for NA
	parse  func(cell []byte, s *Sample) error // cell is not empty
	each   bool                               // a member of the family can have one of its own
}

// seedColumns is how many columns the article's log has. They come first, and a row
// that lacks one of them is not a row.
const seedColumns = 4

// maxEpoch is in the year 2255. Larger numbers are no seconds: milliseconds, or two rows
// that ran into each other. Up to it the nanoseconds fit an int64.
const maxEpoch = 9e9

// columns is the log's format, in the order in which Writer writes. Columns may be
// added at its end; a name, once used, keeps its meaning.
var columns = [...]column{
	{
		"date", // as date(1) prints it; for people and never read back: the epoch is the time
		func(dst []byte, s *Sample) []byte { return s.Time.AppendFormat(dst, time.UnixDate) },
		func([]byte, *Sample) error { return nil },
		false,
	},
	{
		"epoch",
		func(dst []byte, s *Sample) []byte { return strconv.AppendInt(dst, s.Time.Unix(), 10) },
		func(cell []byte, s *Sample) error {
			n, err := parseDecimal(cell, 9)
			if err == nil && n/1e9 > maxEpoch {
				err = errRange
			}
			s.Time = time.Unix(n/1e9, n%1e9)
			return err
		},
		false,
	},
	each(count("rss_kb", func(s *Sample) *int64 { return &s.RSS })),
	count("conns", func(s *Sample) *int64 { return &s.Conns }),
	seconds("elapsed_s", func(s *Sample) *time.Duration { return &s.Elapsed }),
	each(count("anon_kb", func(s *Sample) *int64 { return &s.Anon })),
	each(count("pss_kb", func(s *Sample) *int64 { return &s.PSS })),
	count("slab_kb", func(s *Sample) *int64 { return &s.Slab }),
	count("sockbuf_kb", func(s *Sample) *int64 { return &s.SockBuf }),
	each(count("fds", func(s *Sample) *int64 { return &s.FDs })),
	each(seconds("cpu_s", func(s *Sample) *time.Duration { return &s.CPU })),
	each(count("threads", func(s *Sample) *int64 { return &s.Threads })),
	count("procs", func(s *Sample) *int64 { return &s.Procs }),
}

// columnIndex finds a column by name; -1 is a column that this version does not know.
func columnIndex(name []byte) int {
	for i := range columns {
		if columns[i].name == string(name) {
			return i
		}
	}
	return -1
}

// each makes c a column that a member can have for itself, under the name "rss_kb:PID".
func each(c column) column {
	c.each = true
	return c
}

func count(name string, field func(*Sample) *int64) column {
	return column{
		name,
		func(dst []byte, s *Sample) []byte {
			if n := *field(s); n >= 0 {
				dst = strconv.AppendInt(dst, n, 10)
			}
			return dst
		},
		func(cell []byte, s *Sample) (err error) {
			*field(s), err = parseDecimal(cell, 0)
			return err
		},
		false,
	}
}

func seconds(name string, field func(*Sample) *time.Duration) column {
	return column{
		name,
		func(dst []byte, s *Sample) []byte {
			d := *field(s)
			if d < 0 {
				return dst
			}
			dst = strconv.AppendInt(dst, int64(d/time.Second), 10)
			ms := d % time.Second / time.Millisecond
			return append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
		},
		func(cell []byte, s *Sample) error {
			n, err := parseDecimal(cell, 9)
			*field(s) = time.Duration(n)
			return err
		},
		false,
	}
}

var (
	errNumber = errors.New("is not a number")
	errRange  = errors.New("is too large")
)

// parseDecimal reads digits with at most places digits behind a point, and returns the
// number times 10^places. Signs, exponents, a point without places and everything else
// that strconv would take are refused: no writer of this log makes them, and torn rows do.
func parseDecimal(b []byte, places int) (int64, error) {
	const limit = (1<<63 - 1) / 10
	n, frac := int64(0), -1 // frac: digits behind the point so far, -1 before it
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			if frac >= 0 {
				if frac == places {
					continue // finer than we keep
				}
				frac++
			}
			if n >= limit {
				return NA, errRange
			}
			n = n*10 + int64(c-'0')
		case c == '.' && frac < 0 && places > 0 && i > 0 && i < len(b)-1:
			frac = 0
		default:
			return NA, errNumber
		}
	}
	if len(b) == 0 {
		return NA, errNumber
	}
	for range places - max(frac, 0) {
		if n >= limit {
			return NA, errRange
		}
		n *= 10
	}
	return n, nil
}

// cellError says which cell of a row cannot be read.
func cellError(name string, cell []byte, err error) error {
	if len(cell) > 32 {
		cell = cell[:32]
	}
	return fmt.Errorf("%s %q %w", name, cell, err)
}
