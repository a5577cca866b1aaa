// Package ui is the page at / of the comet listener: a small comet client for a browser, in plain HTML, CSS and JavaScript, without a build
// step and without anything from another host. It logs in under one or more ids by server-sent events, WebSocket or chunked fetch, shows
// messages as they come, comes back and resumes when the connection ends, says so where messages are missing, and sends where the admin
// listener lets it (serve --allow-origin).
//
//	index.html  what is there
//	comet.css   how it looks: light and dark, down to 320 pixels
//	comet.js    what it does
//
// The package knows no sockets: it hands out files, and the front answers with them. Its texts are made once and never written to, so any
// goroutine may read them.
package ui

import (
	"bytes"
	"embed"
	"html"
)

//go:embed index.html comet.css comet.js
var files embed.FS

// File is what a path of the page is answered with. Both slices are the package's.
type File struct {
	Type   string // Content-Type
	Fields string // further fields of the response's head, whole lines
	Text   []byte
}

// guard is what keeps foreign text from becoming part of the page, should it ever get past textContent: no script and no style but our own
// files, no frame around the page (W3C Content Security Policy). Connections may go anywhere, because people type an admin address.
const guard = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src *; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"

const fields = "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"

// adminMark stands in index.html where the address of the admin listener goes.
const adminMark = `name="cometctl-admin" content=""`

// Files are the page by path. admin is where it sends messages: an origin such as http://127.0.0.1:8001, a port with a colon for the host
// that the page comes from, or nothing where no admin listener would let it.
func Files(admin string) map[string]File {
	index := bytes.Replace(read("index.html"), []byte(adminMark),
		[]byte(`name="cometctl-admin" content="`+html.EscapeString(admin)+`"`), 1)
	return map[string]File{
		"/":          {"text/html; charset=utf-8", guard + fields, index},
		"/comet.css": {"text/css; charset=utf-8", fields, read("comet.css")},
		"/comet.js":  {"text/javascript; charset=utf-8", fields, read("comet.js")},
	}
}

func read(name string) []byte {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is part of the program
	}
	return text
}
