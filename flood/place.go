package flood

import (
	"time"

	"cometctl/internal/slab"
	"cometctl/internal/wire"
)

// places keeps, for one loop's connections, where their event streams stand: the id that the next connection gives to Last-Event-ID, and
// how long the server wants it to wait. Only where a Redial asks for it is there any.
type places struct {
	wanted bool // the Redial respects what the server says, or resumes
	resume bool
	slab   slab.Slab[wire.EventPlace]

	after map[*stream]time.Duration // what answers that were refused have said by Retry-After, until their connections are closed
}

// begin is called at the head of a good answer: what was kept of the stream before goes on.
func (p *places) begin(s *stream, r *wire.Response) {
	if !p.wanted || s.dialect != dialectSSE && (s.dialect != dialectStream || !isEventStream(r)) {
		return
	}
	s.dialect = dialectSSE // whoever asked for it
	if s.kept == 0 {
		s.kept = p.slab.Alloc()
	}
	p.slab.At(s.kept).Again()
}

// take takes a piece of the body of an event stream.
func (p *places) take(s *stream, data []byte) { p.slab.At(s.kept).Scan(data) }

// retry is the wait that the server of a stream has asked for.
func (p *places) retry(kept slab.Slot) time.Duration {
	if kept == 0 {
		return 0
	}
	ms, ok := p.slab.At(kept).Retry()
	if !ok {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// appendTo adds to a request where the stream is to go on.
func (p *places) appendTo(request []byte, kept slab.Slot) []byte {
	if kept == 0 || !p.resume {
		return request
	}
	id, ok := p.slab.At(kept).ID()
	if !ok {
		return request
	}
	return wire.AppendResume(request, id)
}

func (p *places) forget(kept *slab.Slot) {
	if *kept != 0 {
		p.slab.Free(*kept)
		*kept = 0
	}
}

// refused looks at an answer that is none for what it says of the next try (RFC 9110 section 10.2.3).
func (p *places) refused(s *stream, r *wire.Response) {
	if !p.wanted || r.Status != 503 && r.Status != 429 {
		return
	}
	if after := retryAfter(r); after > 0 {
		if p.after == nil {
			p.after = map[*stream]time.Duration{}
		}
		p.after[s] = after
	}
}

// said is what a refused answer on a connection that is closed has said.
func (p *places) said(s *stream) time.Duration {
	after := p.after[s]
	delete(p.after, s)
	return after
}

// retryAfter is the value of Retry-After, seconds or a date, as the time from now; 0: there is none, or none that can be understood. A date counts
// from the answer's own Date, so that the two clocks need not agree.
func retryAfter(r *wire.Response) time.Duration {
	value, ok := r.Field("Retry-After")
	if !ok {
		return 0
	}
	if seconds, ok := decimal(value); ok {
		return min(time.Duration(seconds)*time.Second, maxWait)
	}
	at, err := time.Parse(httpDate, string(value))
	if err != nil {
		return 0
	}
	now := time.Now()
	if date, ok := r.Field("Date"); ok {
		if sent, err := time.Parse(httpDate, string(date)); err == nil {
			now = sent
		}
	}
	return min(max(at.Sub(now), 0), maxWait)
}

// httpDate is IMF-fixdate (RFC 9110 section 5.6.7), for time.Parse. Its older forms must not be sent.
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// decimal reads a number of at most nine digits; one of more is nine nines.
func decimal(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), 999_999_999)
	}
	return n, len(b) > 0
}
