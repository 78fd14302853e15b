import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Errors, with their names in section 6 of PROTOCOL.md. */
final class Failure extends Exception {
  /** The reasons that a server may send. */
  private static final Set<String> REASONS = Set.of(
      "INVALID_REQUEST", "INVALID_NAME", "INVALID_RANGE", "START_PAST_END", "UNSUPPORTED", "FILE_NOT_FOUND", "NOT_A_FILE",
      "UNAUTHENTICATED", "PERMISSION_DENIED", "OUTSIDE_ROOT", "FILE_CHANGED", "DATA_LOSS", "UNAVAILABLE", "OVERLOADED",
      "STREAM_AGE", "SERVER_ERROR");

  /** The reasons and the findings of a client after which the same request may succeed later. */
  private static final Set<String> AGAIN = Set.of(
      "UNAVAILABLE", "OVERLOADED", "STREAM_AGE", "SERVER_ERROR", "BLOCK_CORRUPT", "SEQUENCE", "TOO_MUCH_DATA", "TRUNCATED",
      "STALLED");

  /** The reason for a status without a known reason. */
  private static final Map<Status.Code, String> BY_STATUS = Map.ofEntries(
      Map.entry(Status.Code.CANCELLED, "UNAVAILABLE"), Map.entry(Status.Code.UNKNOWN, "SERVER_ERROR"),
      Map.entry(Status.Code.INVALID_ARGUMENT, "INVALID_REQUEST"), Map.entry(Status.Code.DEADLINE_EXCEEDED, "STALLED"),
      Map.entry(Status.Code.NOT_FOUND, "FILE_NOT_FOUND"), Map.entry(Status.Code.ALREADY_EXISTS, "SERVER_ERROR"),
      Map.entry(Status.Code.PERMISSION_DENIED, "PERMISSION_DENIED"),
      Map.entry(Status.Code.UNAUTHENTICATED, "UNAUTHENTICATED"), Map.entry(Status.Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
      Map.entry(Status.Code.FAILED_PRECONDITION, "INVALID_REQUEST"), Map.entry(Status.Code.ABORTED, "SERVER_ERROR"),
      Map.entry(Status.Code.UNIMPLEMENTED, "UNSUPPORTED"), Map.entry(Status.Code.OUT_OF_RANGE, "START_PAST_END"),
      Map.entry(Status.Code.INTERNAL, "SERVER_ERROR"), Map.entry(Status.Code.UNAVAILABLE, "UNAVAILABLE"),
      Map.entry(Status.Code.DATA_LOSS, "DATA_LOSS"));

  final String reason;
  final double retryAfter; // seconds that the server asked to wait

  Failure(String reason, String message, Object... values) {
    this(reason, 0, reason + ": " + String.format(message, values));
  }

  private Failure(String reason, double retryAfter, String line) {
    super(line);
    this.reason = reason;
    this.retryAfter = retryAfter;
  }

  boolean again() {
    return AGAIN.contains(reason);
  }

  /** Returns the failure for a status other than OK. */
  static Failure answered(StatusRuntimeException error) {
    Status status = error.getStatus();
    String text = status.getDescription() == null ? "" : status.getDescription();
    String reason = null;
    double retryAfter = 0;
    var details = StatusProto.fromThrowable(error);
    for (Any any : details == null ? List.<Any>of() : details.getDetailsList()) {
      try {
        if (any.is(ErrorInfo.class)) {
          ErrorInfo info = any.unpack(ErrorInfo.class);
          if (info.getDomain().equals("unspool") && REASONS.contains(info.getReason())) reason = info.getReason();
        } else if (any.is(RetryInfo.class)) {
          var delay = any.unpack(RetryInfo.class).getRetryDelay();
          retryAfter = delay.getSeconds() + delay.getNanos() / 1e9;
        }
      } catch (InvalidProtocolBufferException ignored) {
        // details that do not parse say nothing
      }
    }
    if (reason == null) {
      boolean byGrpcItself = status.getCode() == Status.Code.RESOURCE_EXHAUSTED && text.contains("exceeds maximum");
      // A message that does not parse is this code, too: the call was cancelled by the library.
      boolean malformed = error.getCause() instanceof InvalidProtocolBufferException;
      reason = byGrpcItself || malformed ? "PROTOCOL" : BY_STATUS.get(status.getCode());
    }
    return new Failure(reason, retryAfter, reason + " (" + status.getCode() + "): " + text);
  }
}
