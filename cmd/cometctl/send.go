package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cometctl/msggen"
	"cometctl/server/router"
)

// sendMax is the longest message that send takes from stdin, in bytes.
const sendMax = 16 << 20

// sendOptions are the flags of send.
type sendOptions struct {
	to          string
	tokenFile   string
	trust       trustOptions
	allowRemote bool
	json        bool
}

func newSendCmd(s streams) *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:   "send ID MESSAGE",
		Short: "Send one message",
		Long: `send hands one message to every session that is logged in as ID, as the article's
router:send(ID, Message) did, and prints what became of it. That nobody is logged in is no
error: the message goes into the void, and the exit code is 0.

MESSAGE - is read from stdin, less one line end at its end. An ID or a message that begins
with a dash stands after --.`,
		Example: `  cometctl send 123 "Hello World"
  date | cometctl send 123 -
  cometctl send --json 123 "Hello World"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("send takes an ID and a MESSAGE, not %d arguments; a message of several words goes in quotes", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSend(cmd.Context(), s, o, args[0], args[1])
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "http://127.0.0.1:8001", "`URL` of the server's admin listener; that of its POST /send, as msggen has it, will do")
	addTokenFlag(f, &o.tokenFile)
	o.trust.add(f)
	f.BoolVar(&o.allowRemote, "allow-remote", false, "allow a server that has no loopback address")
	f.BoolVar(&o.json, "json", false, "print the server's receipt as it came")
	return cmd
}

// runSend checks what it is given, sends, and prints the receipt.
func runSend(ctx context.Context, s streams, o sendOptions, id, message string) error {
	if err := router.ValidID([]byte(id)); err != nil {
		return usageErrorf("%s", strings.TrimPrefix(err.Error(), "router: "))
	}
	if err := msggen.CheckTarget(o.to, o.allowRemote); err != nil {
		return usageErrorf("--to %w", err)
	}
	auth, err := authorization(o.tokenFile)
	if err != nil {
		return err
	}
	trust, err := o.trust.trust()
	if err != nil {
		return usageError(err)
	}
	if message == "-" {
		b, err := io.ReadAll(io.LimitReader(s.in, sendMax+1))
		if err != nil {
			return fmt.Errorf("reading the message from stdin: %w", err)
		}
		if len(b) > sendMax {
			return errors.New("the message on stdin is longer than 16 MiB; no server takes that")
		}
		message = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	}
	base := strings.TrimSuffix(strings.TrimSuffix(o.to, "/"), "/send")
	receipt, err := msggen.Send(ctx, base, auth, trust, id, []byte(message))
	if err != nil {
		return err
	}
	text := string(receipt.Raw)
	if !o.json {
		text = receiptText(id, receipt)
	}
	_, err = fmt.Fprintln(s.out, text)
	return err
}

func sessions(n uint64) string {
	if n == 1 {
		return "1 session"
	}
	return fmt.Sprintf("%d sessions", n)
}

// receiptText says in words what became of one message.
func receiptText(id string, l msggen.Receipt) string {
	var parts []string
	for _, p := range []struct {
		n    uint64
		what string
	}{
		{l.Delivered, "delivered to"},
		{l.Pending, "queued for"},
		{l.Dropped, "dropped, as it is too slow, for"},
		{l.Gone, "lost with the end of"},
	} {
		if p.n > 0 {
			parts = append(parts, p.what+" "+sessions(p.n))
		}
	}
	switch {
	case l.Remote != nil && *l.Remote > 0:
		parts = append(parts, "handed to "+sessions(*l.Remote)+" on other nodes")
	case l.Forwarded > 0:
		parts = append(parts, "passed on to other nodes")
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, ", ")
	case l.Offline > 0:
		return fmt.Sprintf("nobody is logged in as %s: the message went into the void", id)
	case l.Unpublished > 0:
		return fmt.Sprintf("nobody is logged in as %s here, and the other nodes cannot be reached: the message is lost", id)
	default:
		return "the server took the message"
	}
}
