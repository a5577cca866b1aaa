package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cometctl/flood"
)

// floodVerdict is the command's error without its promises: the run's own, a connection that was not held and of which no promise speaks, or
// a signal that came too early.
func floodVerdict(ctx context.Context, r flood.Result, err error, o floodOptions, p *promises[floodEnd, floodNow]) error {
	tolerated := p.judges("open") || (r.Failed == 0 || p.judges("failed")) && (r.ClosedEarly == 0 || p.judges("closed_early"))
	switch {
	case r.Failed+r.ClosedEarly > 0 && (!o.again.on() || !r.Held()) && !tolerated:
		text := notHeld(r, o.again.on())
		if err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
		return errors.New(text)
	case err != nil:
		return err
	case ctx.Err() != nil && cutShort(r, o.hold):
		return errInterrupted
	}
	return nil
}

// notHeld says how many connections were not what was asked for: held, or open at the end where they may come again.
func notHeld(r flood.Result, reconnect bool) string {
	why := fmt.Sprintf("%d failed to open%s, %d ended early%s", r.Failed, causes(r.FailedBy), r.ClosedEarly, causes(r.ClosedBy))
	if reconnect {
		return fmt.Sprintf("%d of %d connections were not open at the end: %s, %d opened again%s", r.Asked-r.Open, r.Asked, why, r.Reconnects, wayOut(r))
	}
	return fmt.Sprintf("%d of %d connections were not held: %s%s", r.Failed+r.ClosedEarly, r.Asked, why, wayOut(r))
}

// wayOut reads on from what has failed, where one is known for the most frequent cause that has any.
func wayOut(r flood.Result) string {
	for _, word := range slices.Concat(byNumber(r.FailedBy), byNumber(r.ClosedBy)) {
		if hint := hintOf(word, r.Refusals); hint != "" {
			return "; " + hint
		}
	}
	return ""
}

// byNumber are the causes, the most frequent first.
func byNumber(by map[string]int) []string {
	return slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		if by[a] != by[b] {
			return by[b] - by[a]
		}
		return strings.Compare(a, b)
	})
}

// causes is " (refused 10, timeout 2)", the most frequent first.
func causes(by map[string]int) string {
	if len(by) == 0 {
		return ""
	}
	words := byNumber(by)
	for i, w := range words {
		words[i] = fmt.Sprintf("%s %d", w, by[w])
	}
	return " (" + strings.Join(words, ", ") + ")"
}
