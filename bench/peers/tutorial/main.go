// Command tutorial speaks demo.Files the way the tutorial that unspool grew from does, over a current grpc-go: chunks
// found by multiplication, a stream without an end marker, a client that appends whatever arrives. unspool's tests use it
// as a foreign client and server, and the benchmarks as a peer. It is not an example to follow: the gaps in the design
// (no end marker, no revision, no confinement to the root) are kept on purpose.
//
// It differs from the tutorial in two places, where a bug would hide the design: offsets are 64 bits wide, so files over
// 2 GiB work, and a read error fails the stream instead of ending it like the end of the file. It can also generate load
// for any server, which has nothing to do with the tutorial.
package main

import (
	"fmt"
	"os"
)

const usage = `usage: tutorial serve --root DIR --listen HOST:PORT [--chunk-size BYTES] [--fail-after N]
       tutorial get --addr HOST:PORT --name NAME --out FILE [--start-at N] [--only-first]
       tutorial load --addr HOST:PORT --method /PACKAGE.SERVICE/METHOD --request HEX --clients N --seconds T
`

func main() {
	// The status is handed to os.Exit here and nowhere deeper, so that every deferred close has run by then.
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) > 0 {
		switch args[0] {
		case "serve":
			return serve(args[1:])
		case "get":
			return get(args[1:])
		case "load":
			return load(args[1:])
		}
	}
	fmt.Fprint(os.Stderr, usage)
	return exitUsage
}
