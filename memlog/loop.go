package memlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cometctl/internal/pace"
)

// A prober is what the loop needs of a probe.
type prober interface {
	sample(*Sample) error    // but for Time and Elapsed; errEnded when there is no target left
	members() []memberSample // of the last sample, until the next
	alive() bool             // whether a target is left
	ended() []process        // targets that have ended, as of the last sample or alive
	news() []string          // why cells are empty, each reason once, and who came and went
	close()
}

// A loop is one call of Run. All of it belongs to that call's goroutine.
type loop struct {
	Config
	schedule pace.Rate
	find     func() ([]process, error)
	open     func([]process) (prober, error)

	start   time.Time
	logs    []*Writer
	targets []process
	probe   prober // nil while the target is gone
	lost    int    // how many of the targets have ended, as noted
	sample  Sample
	notes   notes // what was said of failed searches
	begun   bool  // the header is written
	rows    int
	missed  uint64
}

// errFollowed ends the loop well: the target was to be followed to its end, and there it is.
var errFollowed = errors.New("memlog: followed the target to its end")

// run runs the loop; the target is attached and the logs are open.
func (l *loop) run(ctx context.Context) error {
	l.sample.clear()
	l.start = time.Now()
	for due, over := uint64(0), false; !over; {
		err := l.row()
		if err == nil {
			due, over, err = l.next(due)
		}
		if err == nil && !over {
			err = l.wait(ctx, l.start.Add(l.schedule.Due(due)))
		}
		switch {
		case err == errFollowed:
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return l.interrupted()
		}
	}
	if err := l.end("the duration is over"); err != nil {
		return err
	}
	if l.probe == nil {
		return fmt.Errorf("memlog: %w: %v ended after %d rows", ErrTargetMissing, names(l.targets), l.rows)
	}
	return l.losses()
}

// row writes one row, if there is a target.
func (l *loop) row() error {
	if l.probe == nil {
		if err := l.look(); err != nil || l.probe == nil {
			return err
		}
	}
	s := &l.sample
	now := time.Now()
	err := l.probe.sample(s)
	s.Time, s.Elapsed = now, now.Sub(l.start)
	if err == errEnded {
		return l.ended()
	}
	if err != nil {
		return err
	}
	var members []memberSample
	if l.PerProcess {
		members = l.probe.members()
	}
	for _, w := range l.logs {
		w.Observe(s)
		w.observeMembers(members)
	}
	if err := l.noteLosses(); err != nil {
		return err
	}
	for _, text := range l.probe.news() {
		if err := l.note(text); err != nil {
			return err
		}
	}
	if err := l.write(func(w *Writer) error { return w.Write(s) }); err != nil {
		return err
	}
	l.rows++
	if l.Watch != nil {
		l.Watch(*s)
	}
	return nil
}

// next returns the sample to take after sample due, which has just been taken; over is true
// if there is none. Samples that fell due meanwhile are left out: two at once would tell no
// more than one.
func (l *loop) next(due uint64) (next uint64, over bool, err error) {
	next = max(due+1, l.schedule.DueBy(time.Since(l.start)))
	if l.Duration > 0 {
		end := l.schedule.DueBy(l.Duration)
		next, over = min(next, end), next >= end
	}
	if n := next - due - 1; n > 0 {
		l.missed += n
		err = l.note(fmt.Sprintf("samples missed: %d; the one before took until %v", n, time.Since(l.start).Truncate(time.Millisecond)))
	}
	return next, over, err
}

// wait returns at the time until or when ctx ends, and looks after the target meanwhile.
func (l *loop) wait(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		timer.Reset(min(left, watchInterval))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if left > watchInterval {
			if err := l.look(); err != nil {
				return err
			}
		}
	}
}

// look notices that the target has ended, or that it has come back.
func (l *loop) look() error {
	if l.probe != nil {
		if l.probe.alive() {
			return l.noteLosses()
		}
		return l.ended()
	}
	switch err := l.attach(); {
	case err == nil:
		return l.note(fmt.Sprintf("target is back: %v", names(l.targets)))
	case errors.Is(err, ErrNoTarget), err == errEnded:
		return nil
	default: // more than one, most likely the old and the new for a moment
		l.notes.add(err.Error())
		for _, text := range l.notes.drain() {
			if err := l.note("waiting: " + text); err != nil {
				return err
			}
		}
		return nil
	}
}

// attach finds the target and opens a probe of it.
func (l *loop) attach() error {
	targets, err := l.find()
	if err != nil {
		return err
	}
	probe, err := l.open(targets)
	if err == errEnded {
		return fmt.Errorf("memlog: %w: %v has just ended", ErrNoTarget, names(targets))
	}
	if err != nil {
		return err
	}
	l.targets, l.probe, l.lost = targets, probe, 0
	return nil
}

// detach lets go of the target.
func (l *loop) detach() {
	if l.probe != nil {
		l.probe.close()
		l.probe = nil
	}
}

// noteLosses writes down which targets have ended since the last call.
func (l *loop) noteLosses() error {
	for _, p := range l.probe.ended()[l.lost:] {
		l.lost++
		if err := l.note(fmt.Sprintf("target ended: %v, seen %v after the start of this log", p,
			time.Since(l.start).Truncate(time.Millisecond))); err != nil {
			return err
		}
	}
	return nil
}

// losses is the error of a log that has ended while targets are left, though others have ended.
func (l *loop) losses() error {
	if l.probe == nil || l.lost == 0 || l.Follow {
		return nil
	}
	return fmt.Errorf("memlog: %w: %d of %d, the first of them %v; if that is to be expected, follow them to their end (--follow)",
		ErrTargetEnded, l.lost, len(l.targets), l.probe.ended()[0])
}

// ended writes the last target's end down, and decides whether it is the log's end.
func (l *loop) ended() error {
	err := l.noteLosses()
	l.detach()
	if err != nil {
		return err
	}
	if !l.Follow && len(l.Target.PIDs) == 0 {
		return nil // wait for the next one
	}
	if err := l.end("the target ended"); err != nil {
		return err
	}
	if l.Follow {
		return errFollowed
	}
	return fmt.Errorf("memlog: %w: %v, after %d rows; if that is to be expected, follow it to its end (--follow)",
		ErrTargetEnded, names(l.targets), l.rows)
}

// interrupted ends a log whose context has ended: that is how a log without Duration ends.
func (l *loop) interrupted() error {
	if err := l.end("interrupted"); err != nil {
		return err
	}
	if l.Duration == 0 {
		return l.losses()
	}
	return fmt.Errorf("memlog: %w after %d of %d rows", ErrInterrupted, l.rows, l.schedule.DueBy(l.Duration))
}

func (l *loop) end(reason string) error {
	return l.note(fmt.Sprintf("end: %s; %d rows, %d missed", reason, l.rows, l.missed))
}

// note writes one note to all logs.
func (l *loop) note(text string) error {
	return l.write(func(w *Writer) error { return w.Note(text) })
}

// write writes a line to all logs, and the header before the first.
func (l *loop) write(line func(*Writer) error) error {
	for _, w := range l.logs {
		var err error
		if !l.begun {
			err = w.Header(l.about())
		}
		if err == nil {
			err = line(w)
		}
		if err != nil {
			return fmt.Errorf("%w; the %d rows before it are whole, and memlog appends when it is started again", err, l.rows)
		}
	}
	l.begun = true
	return nil
}

// about is what the header says.
func (l *loop) about() string {
	text := fmt.Sprintf("cometctl memlog %s: %v, every %v", l.Version, names(l.targets), l.Interval)
	if l.Duration > 0 {
		text += fmt.Sprintf(" for %v", l.Duration)
	}
	if l.Alone {
		text += ", without descendants"
	}
	return text
}
