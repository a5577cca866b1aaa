package server

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"cometctl/internal/wire"
	"cometctl/server/router"
)

// doing is what a request asks for.
type doing uint8

const (
	doNotFound       doing = iota
	doStream               // GET /test/{id}
	doHead                 // HEAD /test/{id}
	doNotImplemented       // a method that the seed does not know
)

// route decides what a request gets: the table of the comet listener. For doStream and doHead, *id holds the decoded id.
func route(req *wire.Request, id *[]byte) (doing, error) {
	method := string(req.Method)
	if method == "POST" {
		return doNotFound, nil
	}
	if method != "GET" && method != "HEAD" {
		return doNotImplemented, nil
	}
	escaped, ok := bytes.CutPrefix(req.Path, []byte("/test/"))
	if !ok {
		return doNotFound, nil
	}
	var err error
	if *id, err = wire.AppendUnescaped((*id)[:0], escaped); err != nil {
		return doNotFound, err
	}
	if err = router.ValidID(*id); err != nil {
		return doNotFound, err
	}
	if method == "HEAD" {
		return doHead, nil
	}
	return doStream, nil
}

// streamHead is the head of a stream's response. now is the loop's.
func (fl *frontLoop) streamHead(now time.Duration, plain bool) []byte {
	if fl.date == "" || now-fl.dateAt >= time.Second {
		fl.date, fl.dateAt = time.Now().UTC().Format(http.TimeFormat), now
	}
	b := append(fl.scratch[:0], "HTTP/1.1 200 OK\r\nServer: cometctl\r\nDate: "...)
	b = append(b, fl.date...)
	b = append(b, "\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"...)
	if plain {
		b = append(b, "Connection: close\r\n\r\n"...)
	} else {
		b = append(b, "Transfer-Encoding: chunked\r\n\r\n"...)
	}
	fl.scratch = b
	return b
}

// Answers that are always the same.
var (
	answerNotFound       = appendAnswer(nil, 404, "Not found. A stream is at /test/{id}.\n")
	answerNotImplemented = appendAnswer(nil, 501, "This method is not implemented here.\n")
	answerTimeout        = appendAnswer(nil, 408, "The request head took too long.\n")
	answerFull           = appendAnswer(nil, 503, "No room for another connection. Try again later.\n", "Retry-After: 5\r\n")
	answerDraining       = appendAnswer(nil, 503, "This server is about to end. Try again later.\n", "Retry-After: 5\r\n")
)

// headOf is a response without its content: what HEAD gets.
func headOf(answer []byte) []byte {
	const end = "\r\n\r\n"
	return answer[:bytes.Index(answer, []byte(end))+len(end)]
}

// appendAnswer appends a whole response of plain text, after which the connection ends. The fields are whole lines.
func appendAnswer(dst []byte, status int, text string, fields ...string) []byte {
	dst = fmt.Appendf(dst, "HTTP/1.1 %d %s\r\nServer: cometctl\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ", status, http.StatusText(status))
	dst = strconv.AppendInt(dst, int64(len(text)), 10)
	dst = append(dst, "\r\nConnection: close\r\n"...)
	for _, f := range fields {
		dst = append(dst, f...)
	}
	dst = append(dst, "\r\n"...)
	return append(dst, text...)
}
