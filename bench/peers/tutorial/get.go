package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"unspool/bench/peers/tutorial/demo"
)

// discard is the --out that writes nowhere.
const discard = "-"

func get(args []string) int {
	flags := flag.NewFlagSet("get", flag.ContinueOnError)
	addr := flags.String("addr", "", "the server's `address`")
	name := flags.String("name", "", "the `name` to ask for")
	out := flags.String("out", "", "the `file` to append to; "+discard+" discards")
	startAt := flags.Int64("start-at", 0, "the `number` of the first chunk to ask for; sent as it is, even if negative")
	onlyFirst := flags.Bool("only-first", false, "keep chunk 0 and hang up")
	// An empty name is allowed, so that tests can see how a server answers it.
	if exit, ok := parse(flags, args, "addr", "out"); !ok {
		return exit
	}
	if *startAt < math.MinInt32 || *startAt > math.MaxInt32 {
		return refuse(flags, "--start-at must fit in 32 bits")
	}
	if *onlyFirst && *startAt != 0 {
		return refuse(flags, "--only-first is about chunk 0: it cannot be used with --start-at")
	}

	began := time.Now()
	count, err := fetch(*addr, &demo.Request{Name: *name, StartAt: int32(*startAt)}, *out, *onlyFirst)
	if err != nil {
		if state, ok := status.FromError(err); ok {
			fmt.Fprintf(os.Stderr, "code = %s desc = %s\n", state.Code(), state.Message())
			return exitFailed
		}
		return fail(flags, err)
	}
	fmt.Printf("%d bytes in %.6f seconds\n", count, time.Since(began).Seconds())
	return exitOK
}

// fetch makes one request and returns how many bytes it appended to out.
func fetch(addr string, request *demo.Request, out string, onlyFirst bool) (count int64, err error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer conn.Close()

	// Cancelled on return. With --only-first this ends the call early.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := demo.NewFilesClient(conn).GetFile(ctx, request)
	if err != nil {
		return 0, err
	}

	// The tutorial opens its file before it has heard from the server, so a refused request leaves an empty file.
	sink, err := openSink(out)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := sink.Close(); err == nil {
			err = closeErr
		}
	}()

	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return count, err
		}
		// The tutorial receives and drops the rest. Stopping here gives the same file without the wait.
		if onlyFirst && response.GetChunkNumber() >= 1 {
			return count, nil
		}
		// As in the tutorial, neither chunk_number nor the length is checked.
		n, err := sink.Write(response.GetChunk())
		count += int64(n)
		if err != nil {
			return count, err
		}
	}
}

func openSink(out string) (io.WriteCloser, error) {
	if out == discard {
		return nopCloser{io.Discard}, nil
	}
	return os.OpenFile(out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
