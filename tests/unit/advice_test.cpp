#include "daemon/attribute/advice.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace loopsight {
namespace {

// A stall that must get the advice of that name: its cause, what the user's code called ("lib" for
// an installed package, "std" for the standard library; module; function) and the expression.
struct Example {
  const char* rule;
  uint32_t cause;
  const char* called;
  const char* expression;
};

const Example kExamples[] = {
    {"pool_growth", LS_CAUSE_LOCK,
     "std concurrent.futures.thread ThreadPoolExecutor._adjust_thread_count",
     "loop.run_in_executor(None, requests.get, url)"},
    {"requests", LS_CAUSE_NETWORK, "lib requests.sessions Session.send", "requests.get(url)"},
    {"boto3", LS_CAUSE_NETWORK, "lib botocore.endpoint Endpoint.make_request",
     "s3.get_object(Bucket=b)"},
    {"redis", LS_CAUSE_NETWORK, "lib redis.client Redis.execute_command", "r.get(\"k\")"},
    {"pymongo", LS_CAUSE_NETWORK, "lib pymongo.synchronous.collection Collection.find_one",
     "c.find_one()"},
    {"sqlalchemy", LS_CAUSE_NETWORK, "lib sqlalchemy.engine.base Connection.execute",
     "session.execute(q)"},
    {"django_orm", LS_CAUSE_NETWORK, "lib django.db.models.query QuerySet.get",
     "User.objects.get(pk=1)"},
    {"psycopg", LS_CAUSE_NETWORK, "lib psycopg.connection Connection.wait", "conn.execute(q)"},
    {"mysql", LS_CAUSE_NETWORK, "lib pymysql.connections Connection.query", "cur.execute(q)"},
    {"grpc", LS_CAUSE_LOCK, "lib grpc._channel _UnaryUnaryMultiCallable.__call__",
     "stub.Get(request)"},
    {"paramiko", LS_CAUSE_NETWORK, "lib paramiko.client SSHClient.connect", "client.connect(host)"},
    {"smtplib", LS_CAUSE_NETWORK, "std smtplib SMTP.sendmail", "smtp.sendmail(a, b, m)"},
    {"elasticsearch", LS_CAUSE_NETWORK, "lib elasticsearch.client Elasticsearch.search",
     "es.search(index=i)"},
    {"kafka", LS_CAUSE_LOCK, "lib kafka.producer.future FutureRecordMetadata.get",
     "f.get(timeout=10)"},
    {"zeromq", LS_CAUSE_NETWORK, "lib zmq.sugar.socket Socket.send", "socket.send(b)"},
    {"psycopg2", LS_CAUSE_NETWORK, "", "cur.execute(\"select 1\")"},
    {"getaddrinfo", LS_CAUSE_NETWORK, "std socket getaddrinfo", "socket.create_connection(a)"},
    {"urllib", LS_CAUSE_NETWORK, "std urllib.request urlopen", "urlopen(url)"},
    {"ssl_handshake", LS_CAUSE_NETWORK, "std ssl SSLSocket.do_handshake", "context.wrap_socket(s)"},
    {"os_system", LS_CAUSE_SUBPROCESS, "", "os.system(\"sync\")"},
    {"multiprocessing", LS_CAUSE_LOCK, "std multiprocessing.queues Queue.get", "q.get()"},
    {"waitpid", LS_CAUSE_SUBPROCESS, "", "os.waitpid(pid, 0)"},
    {"subprocess", LS_CAUSE_SUBPROCESS, "std subprocess Popen.wait", "subprocess.run([\"ls\"])"},
    {"threadsafe_result", LS_CAUSE_LOCK, "std concurrent.futures._base Future.result",
     "asyncio.run_coroutine_threadsafe(c(), loop).result()"},
    {"future_result", LS_CAUSE_LOCK, "std concurrent.futures._base Future.result",
     "future.result()"},
    {"queue", LS_CAUSE_LOCK, "std queue Queue.get", "jobs.get()"},
    {"thread_join", LS_CAUSE_LOCK, "std threading Thread.join", "worker.join()"},
    {"thread_start", LS_CAUSE_GIL, "std threading Thread.start", "worker.start()"},
    {"event_wait", LS_CAUSE_LOCK, "std threading Event.wait", "ready.wait()"},
    {"file_lock", LS_CAUSE_LOCK, "", "fcntl.flock(f, fcntl.LOCK_EX)"},
    {"lock_acquire", LS_CAUSE_LOCK, "", "lock.acquire()"},
    {"logging", LS_CAUSE_DISK, "std logging StreamHandler.flush", "log.info(\"x\")"},
    {"sqlite_busy", LS_CAUSE_SLEEP, "", "db.execute(\"insert\")"},
    {"sqlite3", LS_CAUSE_DISK, "", "db.execute(\"insert\")"},
    {"shutil", LS_CAUSE_DISK, "std shutil copyfile", "shutil.copy(a, b)"},
    {"tempfile", LS_CAUSE_DISK, "std tempfile mkdtemp", "tempfile.mkdtemp()"},
    {"fsync", LS_CAUSE_DISK, "", "os.fsync(f.fileno())"},
    {"open_read", LS_CAUSE_DISK, "", "f.read()"},
    {"file_system", LS_CAUSE_DISK, "", "os.listdir(path)"},
    {"input", LS_CAUSE_PIPE, "", "input(\"> \")"},
    {"print", LS_CAUSE_PIPE, "", "print(line)"},
    {"time_sleep", LS_CAUSE_SLEEP, "", "time.sleep(1)"},
    {"tenacity", LS_CAUSE_SLEEP, "lib tenacity.nap sleep", "call()"},
    {"json", LS_CAUSE_CPU, "std json.decoder JSONDecoder.raw_decode", "json.loads(body)"},
    {"password_hash", LS_CAUSE_CPU, "", "bcrypt.hashpw(p, salt)"},
    {"compression", LS_CAUSE_CPU, "", "zlib.compress(data)"},
    {"pickle", LS_CAUSE_CPU, "std copy deepcopy", "deepcopy(state)"},
    {"regular_expression", LS_CAUSE_CPU, "", "PATTERN.match(text)"},
    {"yaml", LS_CAUSE_CPU, "lib yaml.parser Parser.parse_node", "yaml.safe_load(f)"},
    {"template", LS_CAUSE_CPU, "lib jinja2.environment Template.render", "page.render(x=1)"},
    {"data_frame", LS_CAUSE_CPU, "lib pandas.core.frame DataFrame.merge", "a.merge(b)"},
    {"validation", LS_CAUSE_CPU, "lib pydantic.main BaseModel.model_validate",
     "Model.model_validate(d)"},
    {"image", LS_CAUSE_CPU, "lib PIL.Image Image.resize", "img.resize(s)"},
    {"crypto", LS_CAUSE_CPU, "lib jwt.api_jwt PyJWT.decode", "jwt.decode(t, k)"},
    {"cpu", LS_CAUSE_CPU, "", "work()"},
    {"system", LS_CAUSE_SYSTEM, "", "work()"},
    {"gc", LS_CAUSE_GC, "", "work()"},
    {"import", LS_CAUSE_IMPORT, "", "work()"},
    {"gil", LS_CAUSE_GIL, "", "work()"},
    {"lock", LS_CAUSE_LOCK, "", "work()"},
    {"sleep", LS_CAUSE_SLEEP, "", "work()"},
    {"network", LS_CAUSE_NETWORK, "", "work()"},
    {"disk", LS_CAUSE_DISK, "", "work()"},
    {"pipe", LS_CAUSE_PIPE, "", "work()"},
    {"subprocess_by_cause", LS_CAUSE_SUBPROCESS, "", "work()"},
    {"page_fault", LS_CAUSE_PAGE_FAULT, "", "work()"},
    {"run_queue", LS_CAUSE_RUN_QUEUE, "", "work()"},
    {"throttled", LS_CAUSE_THROTTLED, "", "work()"},
    {"stopped", LS_CAUSE_STOPPED, "", "work()"},
    {"other", LS_CAUSE_OTHER, "", "work()"},
    {"unknown", LS_CAUSE_UNKNOWN, "", "work()"},
};

StallReport report_of(const Example& one) {
  StallReport report;
  report.cause = one.cause;
  std::istringstream words(one.called);
  std::string where;
  std::string module;
  std::string function;
  if (words >> where >> module >> function) {
    std::string path = module;
    for (char& c : path)
      if (c == '.') c = '/';
    std::string root = where == "std" ? "/usr/lib/python3.11/" : "/usr/lib/python3/dist-packages/";
    report.frames.push_back(
        {.function = function, .module = module, .file = root + path + ".py", .line = 3});
  }
  Frame user{.function = "handler", .module = "app", .file = "/srv/app.py", .line = 7};
  user.expression = one.expression;
  user.whose = Whose::kOwn;
  report.frames.push_back(user);
  report.culprit = user;
  return report;
}

TEST(Advice, EveryRuleIsReachedByItsExample) {
  std::set<std::string_view> reached;
  for (const Example& one : kExamples) {
    std::string_view found = find_advice(report_of(one)).name;
    EXPECT_EQ(found, one.rule) << one.called << " " << one.expression;
    reached.insert(found);
  }
  for (const AdviceRule& rule : advice_rules())
    EXPECT_TRUE(reached.contains(rule.name)) << rule.name << " has no example";
}

TEST(Advice, DependsOnWhetherTheInterpreterLockWasHeld) {
  StallReport report = report_of({"cpu", LS_CAUSE_CPU, "", "crunch()"});
  report.lock_held = false;
  EXPECT_EQ(find_advice(report).name, "lock_released");
  report.lock_held = true;
  EXPECT_EQ(find_advice(report).name, "cpu");
  report = report_of({"", LS_CAUSE_CPU, "", "gzip.compress(data)"});
  EXPECT_EQ(find_advice(report).name, "compression");
  report.lock_held = false;
  EXPECT_EQ(find_advice(report).name, "compression");
  report.lock_held = true;
  EXPECT_EQ(find_advice(report).name, "lock_held");
}

TEST(Advice, IsInTheWordsOfTheLoop) {
  StallReport report = report_of({"", LS_CAUSE_SLEEP, "", "time.sleep(1)"});
  report.stall.kind = LoopKind::kTrio;
  EXPECT_NE(advice_text(find_advice(report), report).find("await trio.sleep"), std::string::npos);
  for (LoopKind kind : {LoopKind::kGevent, LoopKind::kEventlet}) {
    report.stall.kind = kind;
    EXPECT_EQ(find_advice(report).name, "not_patched");
    EXPECT_EQ(advice_text(find_advice(report), report).find("asyncio"), std::string::npos);
  }
  report.stall.kind = LoopKind::kTwisted;
  report.cause = LS_CAUSE_DISK;
  EXPECT_NE(advice_text(find_advice(report), report).find("deferToThread"), std::string::npos);
}

TEST(Advice, DoesNotSendAnAsynchronousLibraryToItself) {
  StallReport report =
      report_of({"", LS_CAUSE_NETWORK, "lib redis.asyncio.client Redis.execute", "await r.get(k)"});
  report.frames.front().whose = Whose::kPackage;
  EXPECT_EQ(find_advice(report).name, "asynchronous_library");
  report = report_of({"", LS_CAUSE_CPU, "lib redis.client Redis.execute", "r.get(k)"});
  EXPECT_EQ(find_advice(report).name, "cpu");
}

TEST(Advice, KnowsLibrariesByTheirThreadsAndNamesByTheirPort) {
  StallReport report = report_of({"", LS_CAUSE_NETWORK, "", "s.recv()"});
  report.waited_for = WaitedFor{.comm = "ZMQbg/IO/0"};
  EXPECT_EQ(find_advice(report).name, "zeromq");
  report.waited_for.reset();
  report.wait = WaitReport{.target = "10.0.0.2:53", .cause = LS_CAUSE_NETWORK};
  EXPECT_EQ(find_advice(report).name, "getaddrinfo");
}

TEST(Advice, TellsAWaitWhoseTimeWasUp) {
  StallReport report = report_of({"", LS_CAUSE_SLEEP, "std threading Event.wait", "e.wait(1)"});
  report.wait = WaitReport{.cause = LS_CAUSE_SLEEP, .timed_out = true};
  EXPECT_EQ(find_advice(report).name, "timed_out");
}

TEST(Advice, EveryTextIsOneSentenceOfItsOwn) {
  std::set<std::string_view> texts;
  for (auto rules : {advice_rules(), advice_shapes()}) {
    for (const AdviceRule& rule : rules) {
      EXPECT_TRUE(rule.text.ends_with('.')) << rule.name;
      EXPECT_EQ(rule.text.find(". "), std::string_view::npos) << rule.name;
      EXPECT_TRUE(texts.insert(rule.text).second) << rule.name;
    }
  }
}

TEST(Advice, KnowsShapesThatNoCallTells) {
  StallReport report = report_of({"", LS_CAUSE_CPU, "", "json.loads(x)"});
  report.callbacks = ReadyCallbacks{.count = 300, .all_small = true};
  EXPECT_EQ(find_advice(report).name, "many_callbacks");
  report.callbacks->all_small = false;
  EXPECT_EQ(find_advice(report).name, "json");
  report = report_of({"", LS_CAUSE_OTHER, "", "x()"});
  report.stall.wait = ls_wait{.object = LS_OBJECT_STOPPED_WORLD};
  EXPECT_EQ(find_advice(report).name, "stopped_world");
  report = report_of({"", LS_CAUSE_GIL, "", "send(x)"});
  report.gil_waits = GilWaits{.count = 30, .convoy = false};
  EXPECT_EQ(find_advice(report).name, "gil");
  report.gil_waits->convoy = true;
  EXPECT_EQ(find_advice(report).name, "lock_convoy");
}

TEST(Advice, GoesByTheCFunctionWhereTheSourceIsNotThere) {
  StallReport report = report_of({"", LS_CAUSE_SLEEP, "", ""});
  EXPECT_EQ(find_advice(report).name, "sleep");
  report.callee = "sleep";
  EXPECT_EQ(find_advice(report).name, "time_sleep");
}

TEST(Advice, DoesNotTakeAWordForAnother) {
  EXPECT_EQ(find_advice(report_of({"", LS_CAUSE_SLEEP, "", "oversleep(5)"})).name, "sleep");
  EXPECT_EQ(find_advice(report_of({"", LS_CAUSE_CPU, "", "more.work(5)"})).name, "cpu");
  // The user's own module of that name is no package.
  StallReport report = report_of({"", LS_CAUSE_NETWORK, "", "fetch()"});
  report.frames.front().module = report.culprit->module = "requests";
  EXPECT_EQ(find_advice(report).name, "network");
}

}  // namespace
}  // namespace loopsight
