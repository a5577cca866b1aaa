package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"cometctl/server/router"
)

// How long an answer waits for messages that are still queued. A subscriber who reads takes them within a turn of its
// loop; for one who does not, they are reported as pending.
const (
	sendPatience   = 100 * time.Millisecond
	streamPatience = 2 * time.Millisecond // short: the next request of the connection waits behind it

	settledPatience = 20 * time.Millisecond // of a stream, for NATS's words about messages that nobody wanted
)

// namedLines is how many bad lines an answer names; it counts all.
const namedLines = 10

// totals is the answer to a publishing request.
type totals struct {
	Ledger
	Remote int64     `json:"remote,omitempty"` // of one message: sessions of other nodes that it was handed to
	Bad    int64     `json:"bad"`              // lines that were no message
	Errors []badLine `json:"errors,omitempty"`
	Cut    string    `json:"cut,omitempty"` // why the stream was not read to its end
}

type badLine struct {
	Line  int64  `json:"line"` // from 1
	Error string `json:"error"`
}

// publisher is one publishing request: its account, and its way to the router.
type publisher struct {
	s   *Server
	tag uint32
	*account
}

func (s *Server) newPublisher() *publisher {
	s.senders.Add(1)
	tag, a := s.ledger.open("")
	return &publisher{s, tag, a}
}

// errMessageMax is what a message over Config.MessageMax is.
var errMessageMax = errors.New("too large")

// admit refuses what no router needs to look at.
func (p *publisher) admit(id, msg []byte) error {
	if len(msg) > p.s.cfg.MessageMax {
		return fmt.Errorf("%w: a message of %d bytes; at most %d are allowed (--message-max)", errMessageMax, len(msg), p.s.cfg.MessageMax)
	}
	return router.ValidID(id)
}

func (p *publisher) send(id, msg []byte) error {
	if err := p.admit(id, msg); err != nil {
		return err
	}
	// Counted before it is routed: an outcome may be booked while Send still runs, and no reader of the ledger shall see
	// more outcomes than messages.
	var r router.Receipt
	err := timed(&p.s.counts.times.send, p.sent.Add(1)-1, sendSample, func() (err error) {
		r, err = p.s.router.Send(id, msg, uint64(p.tag))
		return err
	})
	switch {
	case err != nil:
		p.sent.Add(-1)
	case r.Sessions > 0:
	case r.Published:
		p.forwarded.Add(1)
	case p.s.cluster != nil:
		p.unpublished.Add(1)
	default:
		p.offline.Add(1)
	}
	return err
}

// sendOne is POST /send/{id}: the body is the message.
func (s *Server) sendOne(w http.ResponseWriter, r *http.Request) {
	msg, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.cfg.MessageMax)))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		http.Error(w, fmt.Sprintf("the message is larger than %d bytes (--message-max)", s.cfg.MessageMax), http.StatusRequestEntityTooLarge)
		return
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		http.Error(w, "the message took too long", http.StatusRequestTimeout)
		return
	} else if err != nil {
		http.Error(w, "the message was cut off: "+err.Error(), http.StatusBadRequest)
		return
	}
	p := s.newPublisher()
	defer p.leave()
	var t totals
	if id := []byte(r.PathValue("id")); s.cluster != nil {
		var remote int
		remote, err = p.confirm(r.Context(), id, msg)
		t.Remote = int64(remote)
	} else {
		err = p.send(id, msg)
	}
	if err != nil {
		http.Error(w, plain(err), statusOf(err))
		return
	}
	s.engine.Flush()
	t.Ledger = p.await(sendPatience)
	writeJSON(w, t)
}

// lineParser splits one line of a stream into id and message.
type lineParser struct {
	split func(line []byte) (id, msg []byte, err error)
	spell int // bytes that one byte of a message may take
}

// The forms of a stream.
var (
	parseTSV  = lineParser{splitTSV, 1}
	parseJSON = lineParser{splitJSON, len(`\u0000`)}
)

func parserFor(contentType string) (lineParser, error) {
	media, _, _ := mime.ParseMediaType(contentType)
	switch {
	case contentType == "", media == "text/tab-separated-values", media == "text/plain",
		media == "application/x-www-form-urlencoded": // what curl says by itself
		return parseTSV, nil
	case media == "application/x-ndjson", media == "application/json", media == "application/jsonl":
		return parseJSON, nil
	}
	return lineParser{}, fmt.Errorf("content type %q: use text/tab-separated-values (id<TAB>message) or application/x-ndjson ({\"id\":..., \"msg\":...})", contentType)
}

func splitTSV(line []byte) (id, msg []byte, err error) {
	id, msg, ok := bytes.Cut(line, []byte{'\t'})
	if !ok {
		return nil, nil, errors.New("no tab between id and message")
	}
	return id, msg, nil
}

func splitJSON(line []byte) (id, msg []byte, err error) {
	var m struct {
		ID  *string `json:"id"`
		Msg *string `json:"msg"`
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, nil, jsonError(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, errors.New("more than one JSON object in a line")
	}
	if m.ID == nil || m.Msg == nil {
		return nil, nil, errors.New(`"id" and "msg" are both needed`)
	}
	return []byte(*m.ID), []byte(*m.Msg), nil
}

// jsonError says what is wrong with a line in the words of who wrote it, not in those of the struct that it should fill.
func jsonError(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("%q must be a string, and is: %s", wrong.Field, wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("the line must be a JSON object with \"id\" and \"msg\", and is: %s", wrong.Value)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("the JSON object has no end")
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("%s is unknown; \"id\" and \"msg\" are all there is", field)
	}
	return fmt.Errorf("no JSON: %w", err)
}

// plain is an error's text for a client, who need not know which package found it.
func plain(err error) string {
	text := err.Error()
	for _, name := range []string{"server: ", "router: ", "cluster: ", "broker: "} {
		text = strings.TrimPrefix(text, name)
	}
	return text
}

// sendStream is POST /send: lines are sent as they arrive, and the totals are told at the end.
func (s *Server) sendStream(w http.ResponseWriter, r *http.Request) {
	parse, err := parserFor(r.Header.Get("Content-Type"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
		return
	}
	endless(r)
	if r.ContentLength < 0 {
		goDirect(r) // chunked: it is going to last
	}
	// A server that drains does not wait for a publisher who has nothing to say.
	stop := context.AfterFunc(s.pubs, func() { http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	p := s.newPublisher()
	defer p.leave()
	var t totals
	readErr := p.stream(r.Body, parse, &t)
	if s.cluster != nil {
		ctx, cancel := context.WithTimeout(r.Context(), settledPatience)
		_ = s.cluster.Settle(ctx) // where that takes longer, what nobody wanted is told as forwarded
		cancel()
	}
	t.Ledger = p.await(streamPatience)
	status := http.StatusOK
	switch {
	case readErr == nil:
	case s.pubs.Err() != nil:
		t.Cut = "the server is about to end"
		w.Header().Set("Connection", "close")
		status = http.StatusServiceUnavailable
	default:
		t.Cut = readErr.Error()
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(t)
}

// stream reads lines and sends them. What has arrived is flushed to the loops before more is waited for, so that a message
// is never held back for the next one's sake.
func (p *publisher) stream(body io.Reader, parse lineParser, t *totals) error {
	pool := p.s.linePool(parse)
	br := pool.Get().(*bufio.Reader)
	br.Reset(body)
	defer func() {
		br.Reset(nil)
		pool.Put(br)
	}()
	for n := int64(1); ; n++ {
		if !lineBuffered(br) {
			p.s.engine.Flush()
		}
		line, err := br.ReadSlice('\n')
		long := err == bufio.ErrBufferFull
		for err == bufio.ErrBufferFull {
			_, err = br.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			p.s.engine.Flush()
			return err // a line that was cut off is no message
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if long {
			t.bad(n, fmt.Errorf("longer than a message of %d bytes may be (--message-max)", p.s.cfg.MessageMax))
		} else if len(line) > 0 {
			p.line(n, line, parse, t)
		}
		if err == io.EOF {
			p.s.engine.Flush()
			return nil
		}
	}
}

// lineBuffered tells whether reading the next line can be done without waiting.
func lineBuffered(br *bufio.Reader) bool {
	b, _ := br.Peek(br.Buffered())
	return bytes.IndexByte(b, '\n') >= 0
}

func (p *publisher) line(n int64, line []byte, parse lineParser, t *totals) {
	id, msg, err := parse.split(line)
	if err == nil {
		err = p.send(id, msg)
	}
	if err != nil {
		t.bad(n, err)
	}
}

func (t *totals) bad(line int64, err error) {
	t.Bad++
	if len(t.Errors) < namedLines {
		t.Errors = append(t.Errors, badLine{line, plain(err)})
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}
