// Package broker is the way to NATS, for whoever speaks over it: the router of a cluster, the workers of a flood, a generator that
// publishes straight to the subjects. NATS itself is never built anew here.
//
//   - Embed runs a NATS server in this process, alone or in a cluster with others.
//   - Connect makes a connection to servers, of this process or outside. It never gives up: whoever needs it to stand
//     waits in Await.
//
// What all connections of this package have in common: their own messages do not come back to them (NoEcho), what cannot be
// sent at once is an error and is not sent late (no reconnect buffer), a server that does not answer is given up after 6 to
// 8 seconds, and the next attempt is a quarter of a second away. Slow consumer limits are set on purpose (EmbedConfig); what they
// cost is counted.
//
// Nothing here keeps state beside NATS's own, and any goroutine may call anything.
//
//	connect.go   Connect, Await: a NATS outside
//	embed.go     Embed: a NATS inside
package broker

import "errors"

// Errors of this package; compare with errors.Is.
var (
	// ErrConfig is returned by Connect and Embed for what cannot work; the text names the field and its value.
	ErrConfig = errors.New("NATS: bad configuration")
	// ErrCredentials is returned by Connect and Await when NATS turns the user, password or credentials file down.
	ErrCredentials = errors.New("NATS refuses the credentials")
	// ErrDisconnected is returned by Await, and by those who use a connection, while there is none.
	ErrDisconnected = errors.New("not connected to NATS")
	// ErrEmbed is returned by Embed and Embedded.Routed when the embedded server cannot do what was asked.
	ErrEmbed = errors.New("embedded NATS server")
)
