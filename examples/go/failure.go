package main

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The names of section 6 that this program has to tell apart.
const (
	fileChanged   = "FILE_CHANGED"
	blockCorrupt  = "BLOCK_CORRUPT"
	sequence      = "SEQUENCE"
	tooMuchData   = "TOO_MUCH_DATA"
	truncated     = "TRUNCATED"
	stalled       = "STALLED"
	startIgnored  = "START_IGNORED"
	protocol      = "PROTOCOL"
	fileMismatch  = "FILE_MISMATCH"
	unavailable   = "UNAVAILABLE"
	overloaded    = "OVERLOADED"
	streamAge     = "STREAM_AGE"
	serverError   = "SERVER_ERROR"
	fileNotFound  = "FILE_NOT_FOUND"
	invalid       = "INVALID_REQUEST"
	pastEnd       = "START_PAST_END"
	unsupported   = "UNSUPPORTED"
	denied        = "PERMISSION_DENIED"
	unknownCaller = "UNAUTHENTICATED"
	dataLoss      = "DATA_LOSS"
)

// serverReasons are the reasons a server may send, and whether the same request may succeed later.
var serverReasons = map[string]bool{
	invalid: false, "INVALID_NAME": false, "INVALID_RANGE": false, pastEnd: false, unsupported: false,
	fileNotFound: false, "NOT_A_FILE": false, unknownCaller: false, denied: false, "OUTSIDE_ROOT": false,
	fileChanged: false, dataLoss: false, unavailable: true, overloaded: true, streamAge: true,
	serverError: true,
}

// ownFindings are the faults that a client detects, and whether a retry may help.
var ownFindings = map[string]bool{
	blockCorrupt: true, sequence: true, tooMuchData: true, truncated: true, stalled: true,
	startIgnored: false, protocol: false, fileMismatch: false,
}

// byStatus maps the status of an error without a known reason to a reason.
var byStatus = map[codes.Code]string{
	codes.Canceled:           unavailable,
	codes.Unknown:            serverError,
	codes.InvalidArgument:    invalid,
	codes.DeadlineExceeded:   stalled,
	codes.NotFound:           fileNotFound,
	codes.AlreadyExists:      serverError,
	codes.PermissionDenied:   denied,
	codes.Unauthenticated:    unknownCaller,
	codes.ResourceExhausted:  overloaded,
	codes.FailedPrecondition: invalid,
	codes.Aborted:            serverError,
	codes.Unimplemented:      unsupported,
	codes.OutOfRange:         pastEnd,
	codes.Internal:           serverError,
	codes.Unavailable:        unavailable,
	codes.DataLoss:           dataLoss,
}

// failure is the error of an attempt, with its name in section 6.
type failure struct {
	reason     string
	code       codes.Code // OK if the client detected the fault
	message    string
	again      bool          // whether the same request may succeed later
	retryAfter time.Duration // the delay that the server requested
}

func (f *failure) Error() string {
	if f.code == codes.OK {
		return fmt.Sprintf("%s: %s", f.reason, f.message)
	}
	return fmt.Sprintf("%s (%s): %s", f.reason, f.code, f.message)
}

// found returns a failure that the client detected.
func found(reason, format string, args ...any) *failure {
	return &failure{reason: reason, message: fmt.Sprintf(format, args...), again: ownFindings[reason]}
}

// answered returns the failure for a server's status.
func answered(err error) *failure {
	state := status.Convert(err)
	f := &failure{code: state.Code(), message: state.Message()}
	for _, detail := range state.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if _, known := serverReasons[detail.GetReason()]; known && detail.GetDomain() == "unspool" {
				f.reason = detail.GetReason()
			}
		case *errdetails.RetryInfo:
			f.retryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	if f.reason == "" {
		f.reason = byStatus[f.code]
		if f.code == codes.ResourceExhausted && strings.Contains(f.message, "larger than max") {
			f.reason = protocol // from the gRPC library: no server of this protocol sends such a message
		}
	}
	f.again = serverReasons[f.reason] || ownFindings[f.reason]
	return f
}
