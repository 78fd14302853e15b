// Command get downloads one file from a server of unspool.v1, or uploads one. It is written from PROTOCOL.md and the .proto alone, and
// is there to show that they are enough; the comments name the sections they follow.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `usage: get HOST:PORT NAME OUT [options]

Downloads NAME to OUT. Until it is whole it is OUT.part, beside a small OUT.part.json.

usage: get put HOST:PORT FILE NAME [options]

Uploads FILE to NAME. Until that is done, FILE.upload has the upload's id: run it again to go on.

`

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// options are what the command line may change.
type options struct {
	startFromPart bool          // go on from what an earlier run left in OUT.part
	retryBudget   int           // attempts in a row without a new good byte before giving up
	idleTimeout   time.Duration // without any message, after which an attempt counts as stalled
}

func main() {
	// The status is handed to os.Exit here and nowhere deeper, so that every deferred close has run by then.
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	var opts options
	flags := flag.NewFlagSet("get", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	flags.BoolVar(&opts.startFromPart, "start-from-part", false, "go on from what an earlier run left in OUT.part")
	flags.IntVar(&opts.retryBudget, "retry-budget", 10, "`attempts` in a row without a new good byte before giving up")
	flags.DurationVar(&opts.idleTimeout, "idle-timeout", 30*time.Second, "silence after which an attempt counts as stalled")
	operands, err := parse(flags, args)
	uploads := len(operands) > 0 && operands[0] == "put"
	if uploads {
		operands = operands[1:]
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case len(operands) != 3:
		flags.Usage()
		return exitUsage
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var done fmt.Stringer
	if uploads {
		done, err = put(ctx, operands[0], operands[1], operands[2], opts)
	} else {
		done, err = get(ctx, operands[0], operands[1], operands[2], opts)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "get: %v\n", err)
		return exitFailed
	}
	fmt.Println(done)
	return exitOK
}

// parse takes options before, between and behind the operands, and returns the operands.
func parse(flags *flag.FlagSet, args []string) ([]string, error) {
	var operands []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return operands, nil
		}
		operands = append(operands, flags.Arg(0))
		args = flags.Args()[1:]
	}
}
