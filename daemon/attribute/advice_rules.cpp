#include "bpf/wire.h"
#include "daemon/attribute/advice.h"
#include "daemon/attribute/cause_bits.h"

namespace loopsight {
namespace {

constexpr uint32_t kNetwork = cause_bits(LS_CAUSE_NETWORK);
constexpr uint32_t kCpu = cause_bits(LS_CAUSE_CPU);
constexpr uint32_t kLock = cause_bits(LS_CAUSE_LOCK);
constexpr uint32_t kSystem = cause_bits(LS_CAUSE_SYSTEM);
constexpr uint32_t kGil = cause_bits(LS_CAUSE_GIL);
constexpr uint32_t kPipe = cause_bits(LS_CAUSE_PIPE);
// A file's call may block on the disk, on a full pipe or on a pseudo file.
constexpr uint32_t kFile =
    cause_bits(LS_CAUSE_DISK, LS_CAUSE_PIPE, LS_CAUSE_OTHER, LS_CAUSE_SYSTEM);
// A network client looks up names, waits for its peer and for its pool.
constexpr uint32_t kClient =
    cause_bits(LS_CAUSE_NETWORK, LS_CAUSE_LOCK, LS_CAUSE_SLEEP, LS_CAUSE_DISK, LS_CAUSE_SYSTEM);

constexpr AdviceRule kRules[] = {
    // What a thread of a pool is to run stands in the expression too, but does not block the loop.
    {"pool_growth", kLock | kCpu | kGil, "concurrent.futures.thread", "_adjust_thread_count", "",
     "The loop started a thread of a pool and waited until it ran, as each job does until the pool "
     "has max_workers threads: start them at start-up (submit as many jobs), or have fewer."},

    // Clients of other services.
    {"requests", kClient, "requests", "", "requests.",
     "requests blocks the loop: use httpx.AsyncClient or aiohttp.ClientSession."},
    {"boto3", kClient, "boto3|botocore|s3transfer", "", "",
     "boto3 blocks the loop: use aiobotocore, or call it in asyncio.to_thread."},
    {"redis", kClient, "redis", "", "redis.",
     "The blocking Redis client was used: use redis.asyncio, which has the same methods."},
    {"pymongo", kClient, "pymongo", "", "",
     "The blocking MongoDB client was used: use pymongo.AsyncMongoClient or Motor."},
    {"sqlalchemy", kClient, "sqlalchemy", "", "",
     "SQLAlchemy was used with a blocking driver: use create_async_engine with asyncpg, aiomysql "
     "or aiosqlite."},
    {"django_orm", kClient, "django.db", "", "",
     "The Django ORM blocked the loop: use its asynchronous methods (aget, acreate, async for) or "
     "sync_to_async."},
    {"psycopg", kClient, "psycopg", "", "",
     "A blocking psycopg connection was used: use psycopg.AsyncConnection."},
    {"mysql", kClient, "pymysql|MySQLdb|mysql", "", "pymysql.|MySQLdb.",
     "A blocking MySQL client was used: use asyncmy or aiomysql."},
    {"grpc", kClient, "grpc", "", "", "The blocking gRPC interface was used: use grpc.aio."},
    {"paramiko", kClient, "paramiko", "", "",
     "paramiko blocks the loop: use asyncssh, or call it in asyncio.to_thread."},
    {"smtplib", kClient, "smtplib", "", "smtplib.",
     "smtplib blocks the loop: use aiosmtplib, or send in asyncio.to_thread."},
    {"elasticsearch", kClient, "elasticsearch|elastic_transport|opensearchpy", "", "",
     "The blocking search client was used: use AsyncElasticsearch (AsyncOpenSearch)."},
    {"kafka", kClient, "kafka|confluent_kafka", "", "",
     "A blocking Kafka client was used: use aiokafka, or poll it in a thread of its own."},
    {"zeromq", kClient | kPipe, "zmq", "", "",
     "A blocking ZeroMQ socket was used: use zmq.asyncio.Context, whose sockets are awaited."},
    {"psycopg2", kNetwork, "psycopg2", "",
     "psycopg2.|.execute(|.executemany(|.fetchone(|.fetchall(|.commit(",
     "A blocking database driver was used: use asyncpg or psycopg.AsyncConnection instead of "
     "psycopg2."},
    {"getaddrinfo", cause_bits(LS_CAUSE_NETWORK, LS_CAUSE_DISK, LS_CAUSE_LOCK), "socket",
     "getaddrinfo", "getaddrinfo(|gethostbyname(|gethostbyaddr(|getfqdn(",
     "A name was looked up: use await loop.getaddrinfo, or connect through the loop."},
    {"urllib", kClient, "urllib|urllib3|http.client", "", "urlopen(",
     "urllib blocks the loop: use httpx.AsyncClient or aiohttp.ClientSession."},
    {"ssl_handshake", kNetwork, "ssl", "do_handshake", "do_handshake(|wrap_socket(",
     "A TLS handshake was made on a blocking socket: use asyncio.open_connection(ssl=...)."},

    // Child processes.
    {"os_system", cause_bits(LS_CAUSE_SUBPROCESS, LS_CAUSE_PIPE), "", "", "os.system(|os.popen(",
     "os.system waits for its command: use asyncio.create_subprocess_shell."},
    {"multiprocessing",
     cause_bits(LS_CAUSE_SUBPROCESS, LS_CAUSE_LOCK, LS_CAUSE_PIPE, LS_CAUSE_NETWORK,
                LS_CAUSE_SLEEP),
     "multiprocessing", "", "",
     "multiprocessing blocks until the other process answers: use loop.run_in_executor with a "
     "ProcessPoolExecutor."},
    {"waitpid", cause_bits(LS_CAUSE_SUBPROCESS), "", "",
     "os.wait(|os.waitpid(|os.wait4(|os.waitid(",
     "os.waitpid waits for the child: start it with asyncio.create_subprocess_exec and await "
     "process.wait()."},
    {"subprocess", cause_bits(LS_CAUSE_SUBPROCESS, LS_CAUSE_PIPE, LS_CAUSE_SLEEP, LS_CAUSE_LOCK),
     "subprocess", "", "subprocess.",
     "subprocess waits for the child: use asyncio.create_subprocess_exec."},

    // Threads and locks.
    {"threadsafe_result", kLock | cause_bits(LS_CAUSE_SLEEP), "", "", "run_coroutine_threadsafe(",
     "The result of run_coroutine_threadsafe was waited for, which on that loop's own thread can "
     "never come (a deadlock): await the coroutine instead."},
    {"future_result", kLock, "concurrent.futures", "", ".result(",
     "The result of another thread was waited for: await it with asyncio.wrap_future or "
     "loop.run_in_executor."},
    {"queue", kLock, "queue", "", "queue.get(|.get(timeout|.put(",
     "queue.Queue blocks the loop: use asyncio.Queue, or janus between threads and the loop."},
    {"thread_join", kLock, "threading", "join|_wait_for_tstate_lock", ".join(",
     "Thread.join blocks the loop: run the function with asyncio.to_thread and await it."},
    {"thread_start", kLock | kGil, "threading", "start", "",
     "Thread.start waits until the new thread runs, which needs the interpreter lock and a CPU: "
     "start threads at start-up, or have what computes in threads done by processes."},
    {"event_wait", kLock, "threading", "wait|wait_for", "",
     "threading.Event and Condition block the loop: use asyncio.Event, set it with "
     "loop.call_soon_threadsafe."},
    {"file_lock", kLock, "filelock|portalocker", "", "flock(|lockf(",
     "A file lock was waited for: take it in asyncio.to_thread, or with LOCK_NB and a retry after "
     "await asyncio.sleep."},
    {"lock_acquire", kLock, "threading", "acquire|__enter__", ".acquire(|with ",
     "threading.Lock blocks the loop: use asyncio.Lock, or hold the lock for no longer than it "
     "takes to copy a reference."},

    // Files and databases in files.
    {"logging", cause_bits(LS_CAUSE_DISK, LS_CAUSE_PIPE, LS_CAUSE_NETWORK, LS_CAUSE_LOCK),
     "logging", "", "",
     "A logging handler blocked: log through logging.handlers.QueueHandler and QueueListener."},
    {"sqlite_busy", cause_bits(LS_CAUSE_SLEEP), "sqlite3", "",
     "sqlite3.|.execute(|.executemany(|.executescript(|.commit(",
     "SQLite waited for a lock that another connection has: keep transactions short, use WAL, and "
     "use aiosqlite or asyncio.to_thread with a connection of its own."},
    {"sqlite3", cause_bits(LS_CAUSE_DISK, LS_CAUSE_SLEEP, LS_CAUSE_LOCK, LS_CAUSE_SYSTEM),
     "sqlite3", "",
     "sqlite3.|.execute(|.executemany(|.executescript(|.commit(|.fetchall(|.fetchone(",
     "SQLite blocks on its file and its lock: use aiosqlite, or asyncio.to_thread with a "
     "connection of its own."},
    {"shutil", cause_bits(LS_CAUSE_DISK, LS_CAUSE_CPU, LS_CAUSE_OTHER, LS_CAUSE_SYSTEM), "shutil",
     "", "shutil.", "shutil copies on the loop's thread: call it in asyncio.to_thread."},
    {"tempfile", cause_bits(LS_CAUSE_DISK, LS_CAUSE_SYSTEM), "tempfile", "", "tempfile.",
     "Temporary files were made on the loop's thread: use aiofiles.tempfile or "
     "asyncio.to_thread."},
    {"fsync", cause_bits(LS_CAUSE_DISK, LS_CAUSE_SYSTEM), "", "", "fsync(|fdatasync(|os.sync(",
     "fsync waits for the disk: call it in asyncio.to_thread, once for many writes."},
    {"open_read", kFile, "pathlib|io|gzip|codecs", "",
     "open(|.read(|.readline(|.readlines(|.write(|.flush(|read_text(|read_bytes(|write_text(|"
     "write_bytes(",
     "File input and output blocks the loop: use aiofiles or asyncio.to_thread."},
    {"file_system", cause_bits(LS_CAUSE_DISK, LS_CAUSE_SYSTEM), "os|glob|genericpath|posixpath", "",
     "os.|glob(|.stat(|.exists(|.iterdir(|unlink(|mkdir(",
     "The file system was asked on the loop's thread: do it in asyncio.to_thread."},
    {"input", kPipe, "", "", "input(|stdin.",
     "The terminal was read: use loop.connect_read_pipe(sys.stdin) or asyncio.to_thread(input)."},
    {"print", kPipe, "", "", "print(|stdout.|stderr.",
     "Standard output is a pipe that its reader does not empty: log through a QueueHandler, or "
     "find out why the reader is slow."},

    // Sleeping.
    {"time_sleep", cause_bits(LS_CAUSE_SLEEP), "", "", "sleep(",
     "The loop slept: use await asyncio.sleep instead of time.sleep."},
    {"tenacity", cause_bits(LS_CAUSE_SLEEP), "tenacity|backoff|retrying|retry", "", "",
     "The retry waits with time.sleep: decorate an async function, then it awaits asyncio.sleep."},

    // Computing.
    {"json", kCpu, "json|simplejson", "", "json.|orjson.|ujson.",
     "A large JSON document was read or written, for which the interpreter lock is needed: do it "
     "in "
     "a process pool, stream it (ijson), or have less of it."},
    {"password_hash", kCpu, "passlib|bcrypt|argon2|hashlib", "",
     "bcrypt.|hashpw(|checkpw(|pbkdf2|scrypt(|argon2|hashlib.|.hash(|.verify(",
     "Hashing is slow on purpose: do it in asyncio.to_thread (bcrypt, argon2 and hashlib give the "
     "interpreter lock up meanwhile)."},
    {"compression", kCpu, "gzip|zipfile|tarfile|bz2|lzma", "",
     "gzip.|zlib.|bz2.|lzma.|compress(|zstd.|brotli.",
     "Compressing gives the interpreter lock up: do it in asyncio.to_thread."},
    {"pickle", kCpu, "pickle|copy", "", "pickle.|deepcopy(|marshal.",
     "Large objects were pickled or copied: send less, copy lazily, or do it in a process pool."},
    {"regular_expression", kCpu, "re|sre_parse|sre_compile", "",
     "re.|.match(|.search(|.findall(|.sub(|.fullmatch(",
     "A regular expression ran long: bound its input, rewrite nested repetitions, or use re2."},
    {"yaml", kCpu, "yaml", "", "yaml.",
     "The pure Python YAML parser is slow: use CSafeLoader, in asyncio.to_thread, or at start-up."},
    {"template", kCpu, "jinja2|mako|django.template", "", ".render(",
     "A template was rendered on the loop's thread: cache the result, or render in pieces with "
     "enable_async and generate_async."},
    {"data_frame", kCpu, "pandas|numpy|scipy|sklearn|polars|pyarrow", "", "pd.|np.|numpy.|pandas.",
     "Data was crunched on the loop's thread: do it in a process pool (loop.run_in_executor with a "
     "ProcessPoolExecutor)."},
    {"validation", kCpu, "pydantic|marshmallow|attrs|cattrs", "",
     "model_validate|parse_obj|model_dump|jsonable_encoder",
     "A large model was validated or serialised: return the response directly, page the result, or "
     "validate in a process pool."},
    {"image", kCpu, "PIL|cv2", "", "Image.|cv2.",
     "An image was processed on the loop's thread: do it in asyncio.to_thread (Pillow and OpenCV "
     "give the interpreter lock up)."},
    {"crypto", kCpu, "cryptography|Crypto|jwt|jose|rsa", "", "jwt.|.sign(|.decrypt(|.encrypt(",
     "Public-key cryptography ran on the loop's thread: do it in asyncio.to_thread, or cache the "
     "result."},

    // By the cause alone.
    {"cpu", kCpu, "", "", "",
     "Python or native code computed without awaiting: move it to a process pool "
     "(loop.run_in_executor with a ProcessPoolExecutor) or split it with await asyncio.sleep(0)."},
    {"system", kSystem, "", "", "",
     "The kernel worked in the call on the loop's thread: do it in asyncio.to_thread, or less of "
     "it at a time."},
    {"gc", cause_bits(LS_CAUSE_GC), "", "", "",
     "The garbage collector ran inside the callback: call gc.freeze() after start-up and raise "
     "gc.set_threshold."},
    {"import", cause_bits(LS_CAUSE_IMPORT), "", "", "",
     "A module was imported inside the callback: import it at start-up."},
    {"gil", cause_bits(LS_CAUSE_GIL), "", "", "",
     "The loop waited for the interpreter lock: move what the other thread computes to a process."},
    {"lock", kLock, "", "", "",
     "The loop waited for a lock or for another thread: use asyncio.Lock, or await the result with "
     "asyncio.wrap_future or asyncio.to_thread."},
    {"sleep", cause_bits(LS_CAUSE_SLEEP), "", "", "",
     "The loop slept: use await asyncio.sleep, or do what sleeps in asyncio.to_thread."},
    {"network", kNetwork, "", "", "",
     "The loop waited for a socket: use an asynchronous client (httpx, aiohttp, asyncpg, "
     "asyncio.open_connection) or asyncio.to_thread."},
    {"disk", cause_bits(LS_CAUSE_DISK), "", "", "",
     "The loop waited for the disk: do file input and output and fsync in asyncio.to_thread."},
    {"pipe", kPipe, "", "", "",
     "The loop waited for a pipe or terminal: use asyncio.create_subprocess_exec, "
     "loop.connect_read_pipe or asyncio.to_thread."},
    {"subprocess_by_cause", cause_bits(LS_CAUSE_SUBPROCESS), "", "", "",
     "The loop waited for a child process: use asyncio.create_subprocess_exec and await "
     "process.wait()."},
    {"page_fault", cause_bits(LS_CAUSE_PAGE_FAULT), "", "", "",
     "The loop waited for memory to be read from disk: give the host more memory, or lock or "
     "preload what the service touches."},
    {"run_queue", cause_bits(LS_CAUSE_RUN_QUEUE), "", "", "",
     "The loop was ready and got no CPU: the host is overloaded; give the service more CPU weight "
     "or move its neighbours."},
    {"throttled", cause_bits(LS_CAUSE_THROTTLED), "", "", "",
     "The loop's CPU quota was used up: raise the container's CPU limit (cpu.max)."},
    {"stopped", cause_bits(LS_CAUSE_STOPPED), "", "", "",
     "The process was stopped from outside (a signal, a debugger or the freezer): find out who "
     "stops it."},
    {"other", cause_bits(LS_CAUSE_OTHER), "", "", "",
     "The loop waited in the kernel: look at the system call and do it in asyncio.to_thread."},
    {"unknown", cause_bits(LS_CAUSE_UNKNOWN), "", "", "",
     "Records were lost, so the cause is not known: see loopsight_events_lost_total."},
};

}  // namespace

std::span<const AdviceRule> advice_rules() { return kRules; }

}  // namespace loopsight
