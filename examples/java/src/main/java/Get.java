import com.google.protobuf.ByteString;
import io.grpc.CallOptions;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import java.io.IOException;
import java.util.ArrayList;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.logging.Level;
import java.util.logging.Logger;
import unspool.v1.FileServiceOuterClass.ReadFileRequest;
import unspool.v1.FileServiceOuterClass.ReadFileResponse;

/**
 * Downloads one file from a server of unspool.v1, by PROTOCOL.md and the .proto. It has the parts of the clients in Go and Node; the
 * comments name the sections they follow.
 */
public final class Get {
  private static final String USAGE =
      "usage: java Get HOST:PORT NAME OUT [--start-from-part] [--retry-budget N] [--idle-timeout SECONDS]\n\n"
      + "Downloads NAME to OUT. Until it is whole it is OUT.part, beside a small OUT.part.properties.\n";

  /** Section 1. Code that protoc-gen-grpc-java writes has the same. */
  private static final MethodDescriptor<ReadFileRequest, ReadFileResponse> READ_FILE =
      MethodDescriptor.<ReadFileRequest, ReadFileResponse>newBuilder()
          .setType(MethodDescriptor.MethodType.SERVER_STREAMING)
          .setFullMethodName("unspool.v1.FileService/ReadFile")
          .setRequestMarshaller(ProtoUtils.marshaller(ReadFileRequest.getDefaultInstance()))
          .setResponseMarshaller(ProtoUtils.marshaller(ReadFileResponse.getDefaultInstance()))
          .build();

  /** What gRPC logs is told by errors, too. */
  private static final Logger LOG = Logger.getLogger("io.grpc");

  private final ScheduledExecutorService timers = Executors.newSingleThreadScheduledExecutor(task -> {
    var thread = new Thread(task);
    thread.setDaemon(true);
    return thread;
  });
  private final String target;
  private final Part part;
  private final String transferId = UUID.randomUUID().toString();
  private final int retryBudget;
  private final double idleTimeout;
  private Receiver receiver;
  private ManagedChannel channel;
  private int attempts;
  private int blockSize; // 0 leaves it to the server

  private Get(String target, String name, String out, int retryBudget, double idleTimeout) throws IOException {
    this.target = target;
    this.retryBudget = retryBudget;
    this.idleTimeout = idleTimeout;
    part = new Part(out);
    receiver = new Receiver(name);
    channel = connect(0);
  }

  /** Sections 7 and 13: the retry budget of this program decides when to retry, and no proxy is asked. */
  private ManagedChannel connect(int window) {
    var builder = NettyChannelBuilder.forTarget(target).usePlaintext().disableRetry().proxyDetector(address -> null);
    return (window > 0 ? builder.flowControlWindow(Math.max(window, 16 << 10)) : builder).build();
  }

  private String run(boolean startFromPart) throws Failure, IOException, InterruptedException {
    if (startFromPart) part.takeUp(receiver);
    else part.cut(receiver);
    long resumed = receiver.position;
    try {
      while (true) {
        fetch();
        int found = (int) receiver.checksum.getValue();
        if (receiver.known == null || receiver.known == found) {
          part.commit();
          return String.format("%d bytes, %d of them here before, attempts: %d, verified: %s",
              receiver.size, resumed, attempts, receiver.known == null ? "blocks" : "file");
        }
        if (resumed == 0) throw new Failure("FILE_MISMATCH", "crc32c is %08x here, %08x there", found, receiver.known);
        resumed = 0; // the bytes of an earlier run are damaged: section 5, step 6
        receiver = new Receiver(receiver.name);
        part.cut(receiver);
      }
    } catch (Failure error) {
      part.keep(receiver);
      throw error;
    } finally {
      channel.shutdownNow();
    }
  }

  /** Makes attempts until the read is complete, or the budget is spent: section 7, trying again. */
  private void fetch() throws Failure, IOException, InterruptedException {
    for (int fruitless = 0; ; ) {
      long before = receiver.position;
      attempts++;
      try {
        attempt();
        return;
      } catch (Failure error) {
        if (!error.again()) throw error;
        fruitless = receiver.position > before ? 0 : fruitless + 1;
        if (fruitless >= retryBudget) throw error;
        if (error.reason.equals("STALLED")) expectLess();
        double bound = Math.min(30, 0.25 * Math.pow(2, Math.max(fruitless - 1, 0)));
        double wait = ThreadLocalRandom.current().nextDouble() * bound + Math.min(Math.max(error.retryAfter, 0), 300);
        System.err.printf("get: retrying in %.1f s: %s%n", wait, error.getMessage());
        Thread.sleep((long) (wait * 1000));
        channel.resetConnectBackoff(); // otherwise an attempt could fail without trying to connect
      }
    }
  }

  /** Section 7, after a stall: smaller blocks, another connection, a small window, for the rest of the transfer. */
  private void expectLess() {
    blockSize = Math.max(1024, (blockSize == 0 ? 64 << 10 : blockSize) / 8);
    channel.shutdownNow();
    channel = connect(8 * blockSize);
  }

  /** Reads one stream. Returns when the read is complete. */
  private void attempt() throws Failure, IOException {
    var heard = new AtomicLong(System.nanoTime());
    var stalled = new Failure("STALLED", "the server sent nothing for %s s", idleTimeout);
    long patience = (long) (idleTimeout * 1e9);
    try (var call = Context.current().withCancellation()) {
      var timer = timers.scheduleAtFixedRate(() -> {
        if (System.nanoTime() - heard.get() > patience) call.cancel(stalled);
      }, patience / 8, patience / 8, TimeUnit.NANOSECONDS);
      Context before = call.attach();
      try {
        var request = receiver.request(attempts, transferId, blockSize);
        var messages = ClientCalls.blockingServerStreamingCall(channel, READ_FILE, CallOptions.DEFAULT, request);
        while (messages.hasNext()) {
          ByteString data = receiver.receive(messages.next());
          if (data != null) part.write(data, receiver);
          heard.set(System.nanoTime());
        }
      } catch (StatusRuntimeException error) {
        if (receiver.state == Receiver.State.COMPLETE) return; // then the status no longer matters
        throw call.cancellationCause() == stalled ? stalled : Failure.answered(error);
      } finally {
        timer.cancel(false);
        call.detach(before);
      }
    }
    if (receiver.state != Receiver.State.COMPLETE) {
      throw new Failure("TRUNCATED", "the stream ended without its summary, at byte %d", receiver.position);
    }
  }

  /** Runs the program. */
  public static void main(String[] arguments) throws InterruptedException {
    LOG.setLevel(Level.WARNING);
    var words = new ArrayList<String>();
    boolean startFromPart = false;
    int retryBudget = 10;
    double idleTimeout = 30;
    try {
      for (int at = 0; at < arguments.length; at++) {
        switch (arguments[at]) {
          case "--start-from-part" -> startFromPart = true;
          case "--retry-budget" -> retryBudget = Integer.parseInt(arguments[++at]);
          case "--idle-timeout" -> idleTimeout = Double.parseDouble(arguments[++at].replaceAll("s$", ""));
          default -> words.add(arguments[at]);
        }
      }
    } catch (RuntimeException error) {
      words.clear();
    }
    if (words.size() != 3) {
      System.err.print(USAGE);
      System.exit(2);
    }
    try {
      var get = new Get(words.get(0), words.get(1), words.get(2), retryBudget, idleTimeout);
      System.out.println(words.get(2) + ": " + get.run(startFromPart));
    } catch (Failure | IOException error) {
      System.err.println("get: " + error.getMessage());
      System.exit(1);
    }
  }
}
