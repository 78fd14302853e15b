package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"unspool/bench/peers/tutorial/demo"
)

// tutorialChunk is the chunk size that the tutorial compiles in. start_at counts in it, so both ends must agree on it,
// and the protocol has no field in which they could.
const tutorialChunk = 32 * 1024

// never is the --fail-after of a server that breaks nothing.
const never = -1

func serve(args []string) int {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	root := flags.String("root", "", "the `directory` that names are joined to")
	listen := flags.String("listen", "", "the `address` to listen on; port 0 takes a free one")
	chunkSize := flags.Int("chunk-size", tutorialChunk, "the `bytes` in a chunk; past 4 MiB less a few bytes,"+
		" a client must raise its message limit")
	failAfter := flags.Int("fail-after", never, "abort the first GetFile with UNAVAILABLE after this `number` of chunks"+
		" (0: before any)")
	if exit, ok := parse(flags, args, "root", "listen"); !ok {
		return exit
	}
	if *chunkSize < 1 {
		return refuse(flags, "--chunk-size must be at least 1")
	}
	if *failAfter < never {
		return refuse(flags, "--fail-after must be at least %d (never)", never)
	}

	// Before the port is announced, so that a SIGTERM sent on seeing it is not missed.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return fail(flags, err)
	}
	// No message limit is touched: grpc-go's server bounds only what it receives, and requests are small.
	server := grpc.NewServer()
	reflection.Register(server)
	demo.RegisterFilesServer(server, &fileServer{root: *root, chunkSize: *chunkSize, failAfter: *failAfter})

	// Stop rather than GracefulStop: a client that has stalled must not keep the process from ending.
	context.AfterFunc(ctx, server.Stop)

	fmt.Printf("listening on %s\n", listener.Addr())
	// If a signal stops the server before Serve is called, Serve returns ErrServerStopped; that is a clean end too.
	if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fail(flags, err)
	}
	return exitOK
}

type fileServer struct {
	demo.UnimplementedFilesServer

	root      string
	chunkSize int
	failAfter int
	begun     atomic.Int64 // GetFile calls so far: only the first may be made to fail
}

func (s *fileServer) GetFile(request *demo.Request, stream demo.Files_GetFileServer) error {
	failAfter := never
	if s.begun.Add(1) == 1 {
		failAfter = s.failAfter
	}
	errBroken := status.Errorf(codes.Unavailable, "broken off after %d chunks, as --fail-after asks", failAfter)
	if failAfter == 0 {
		return errBroken
	}

	sent := 0
	// Errors go out as they are, as in the tutorial, so a missing file is UNKNOWN at the client and not NOT_FOUND.
	return readChunks(filepath.Join(s.root, request.GetName()), s.chunkSize, request.GetStartAt(),
		func(chunk []byte, number int32) error {
			if err := stream.Send(&demo.Response{Chunk: chunk, ChunkNumber: number}); err != nil {
				return err
			}
			// Also after the last chunk: a client must handle a stream that sends all bytes but does not end with OK.
			if sent++; sent == failAfter {
				return errBroken
			}
			return nil
		})
}

// readChunks hands the chunks of the file at path to emit, from number start on. The last is the one at which ReadAt
// came to the end of the file; it is empty where the file's size is a multiple of the chunk size, or start lies beyond.
// The chunk passed to emit is valid until emit returns.
func readChunks(path string, size int, start int32, emit func(chunk []byte, number int32) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()

	// One buffer for the whole stream: Send has encoded the message, and so copied the chunk, when it returns.
	buffer := make([]byte, size)
	for number := start; ; number++ {
		n, readErr := file.ReadAt(buffer, int64(size)*int64(number))
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return readErr
		}
		if err := emit(buffer[:n], number); err != nil {
			return err
		}
		if readErr != nil {
			return nil
		}
	}
}
