package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// load reads one server-side stream again and again over many connections at once, and counts the bytes of the messages
// without decoding them: the same load for every server, at the least cost to the client. It is not part of the tutorial.
func load(args []string) int {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	addr := flags.String("addr", "", "the server's `address`")
	method := flags.String("method", "", "the full `name` of the method, as /package.Service/Method")
	request := flags.String("request", "", "the request's message, in `hex`")
	clients := flags.Int("clients", 1, "`how many`, each with a connection of its own")
	seconds := flags.Float64("seconds", 2, "`how long` to count, once every client has had its first message")
	if exit, ok := parse(flags, args, "addr", "method"); !ok {
		return exit
	}
	message, err := hex.DecodeString(*request)
	if err != nil {
		return refuse(flags, "--request is not hex")
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var count atomic.Int64
	var ready, done sync.WaitGroup
	failed := make(chan error, *clients)
	for range *clients {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			first := sync.OnceFunc(ready.Done)
			defer first()
			if err := readOn(ctx, *addr, *method, message, &count, first); err != nil && ctx.Err() == nil {
				failed <- err
			}
		}()
	}
	ready.Wait()
	began, before := time.Now(), count.Load()
	select {
	case err = <-failed:
	case <-time.After(time.Duration(*seconds * float64(time.Second))):
	}
	total, took := count.Load()-before, time.Since(began).Seconds()
	cancel()
	done.Wait()
	if err != nil {
		return fail(flags, err)
	}
	fmt.Fprintf(os.Stdout, "{\"bytes\": %d, \"seconds\": %.6f, \"all\": %d}\n", total, took, count.Load())
	return exitOK
}

// readOn reads streams, one after the other, until it is told to stop.
func readOn(ctx context.Context, addr, method string, request []byte, count *atomic.Int64, first func()) error {
	conn, err := grpc.NewClient(addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(4<<20),
		grpc.WithReadBufferSize(1<<20),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(asItIs{})))
	if err != nil {
		return err
	}
	defer conn.Close()
	for ctx.Err() == nil {
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
		if err != nil {
			return err
		}
		if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil {
			return err
		}
		for {
			var size int
			if err := stream.RecvMsg(&size); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			count.Add(int64(size))
			first()
		}
	}
	return nil
}

// asItIs sends bytes unchanged, and keeps only the size of each message received.
type asItIs struct{}

func (asItIs) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (asItIs) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*int) = data.Len()
	return nil
}

func (asItIs) Name() string { return "proto" }

var _ encoding.CodecV2 = asItIs{}
