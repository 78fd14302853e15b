package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

// Exit statuses: a transfer that failed must be told apart from a command line that was wrong.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// parse reads args into flags and insists on the flags named in required. It returns the status to exit with and
// false when there is nothing to run.
func parse(flags *flag.FlagSet, args []string, required ...string) (int, bool) {
	// The flag package prints its own complaint.
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK, false
	} else if err != nil {
		return exitUsage, false
	}
	if flags.NArg() > 0 {
		return refuse(flags, "unexpected argument %q", flags.Arg(0)), false
	}
	for _, name := range required {
		if flags.Lookup(name).Value.String() == "" {
			return refuse(flags, "--%s is required", name), false
		}
	}
	return exitOK, true
}

// refuse reports a wrong command line.
func refuse(flags *flag.FlagSet, format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "tutorial %s: %s\n", flags.Name(), fmt.Sprintf(format, args...))
	return exitUsage
}

// fail reports an error that no gRPC status describes.
func fail(flags *flag.FlagSet, err error) int {
	fmt.Fprintf(os.Stderr, "tutorial %s: %v\n", flags.Name(), err)
	return exitFailed
}
