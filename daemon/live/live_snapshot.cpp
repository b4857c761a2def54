// What the live source shows to the HTTP side.
#include "daemon/live/live_source.h"

namespace loopsight {

Snapshot LiveSource::snapshot() const {
  Snapshot snapshot;
  snapshot.totals = pipeline_.totals();
  snapshot.loops = pipeline_.loops().lines();
  snapshot.threshold_ns = pipeline_.timeline().threshold_ns();
  for (const ProbeStatus& probe : tracer_.probes())
    snapshot.probes.emplace_back(probe.name, probe.attached);
  for (const ProgramCost& cost : tracer_.costs())
    snapshot.programs.push_back(
        {.program = cost.name, .runs = cost.runs, .run_time_ns = cost.run_time_ns});
  UsdtPolicy::State own = probes_.state();
  for (size_t i = 0; i < LS_GROUPS; i++) {
    if (i == LS_GROUP_FUNCTIONS) continue;  // only a trace counts calls
    snapshot.probes.emplace_back(kProbeGroupNames[i], own.attached[i]);
    OptionalProbeMetric metric{
        .name = kProbeGroupNames[i],
        .hits = own.hits[i],
        .cost_ns = own.cost_ns[i],
        .shed = {{"ceiling", own.shed[i]}, {"process_ceiling", own.shed_processes[i]}}};
    if (i == LS_GROUP_AUDIT) metric.shed.emplace_back("process_budget", own.audit_refused);
    snapshot.optional_probes.push_back(std::move(metric));
  }
  auto counters = tracer_.counters();
  auto shed_of = [&](ls_shed what) {
    auto found = shed_.find(what);
    return found == shed_.end() ? 0 : found->second;
  };
  const Timeline& timeline = pipeline_.timeline();
  snapshot.lost = {{"ring_full", counters[LS_COUNT_RING_FULL]},
                   {"loop_table_full", counters[LS_COUNT_LOOPS_FULL]},
                   {"process_table_full", counters[LS_COUNT_PROCESSES_FULL] + unlisted_},
                   {"task_storage_full", counters[LS_COUNT_STORAGE_FULL]},
                   {"missed_switch", counters[LS_COUNT_MISSED_SWITCH]}};
  snapshot.discarded = {{"undecodable_record", pipeline_.undecodable()},
                        {"late_record", timeline.late_records()},
                        {"inconsistent_record", timeline.inconsistent_records()},
                        {"folded_label", pipeline_.totals().folded_labels()},
                        {"not_a_loop", rejected_},
                        {"phase_without_end", counters[LS_COUNT_PHASE_DROPPED]},
                        {"poll_on_no_epoll", counters[LS_COUNT_NO_INSTANCE]},
                        {"unreadable_target", counters[LS_COUNT_TARGET_UNREADABLE]},
                        {"no_thread_state", counters[LS_COUNT_NO_THREAD_STATE]},
                        {"torn_stack", counters[LS_COUNT_STACK_TORN]},
                        {"unmapped_stack", counters[LS_COUNT_STACK_UNMAPPED]},
                        {"unreadable_code", counters[LS_COUNT_CODE_UNREADABLE]},
                        {"replaced_code", counters[LS_COUNT_CODE_REPLACED]},
                        {"cut_stack", counters[LS_COUNT_STACK_CUT]},
                        {"unmatched_probe", counters[LS_COUNT_PROBE_UNMATCHED]},
                        {"unreadable_argument", counters[LS_COUNT_ARGUMENT_UNREADABLE]},
                        {"read_given_up", reads_->given_up()},
                        {"read_over_share", reads_->shed()},
                        {"row_over_share", shed_of(LS_SHED_ROWS)},
                        {"process_over_share", shed_of(LS_SHED_PROCESSES)},
                        {"record_over_share", shed_of(LS_SHED_RECORDS)},
                        {"question_over_share", shed_of(LS_SHED_QUESTIONS)},
                        {"name_over_share", pipeline_.codes().dropped()},
                        {"yielded_label", pipeline_.totals().yielded_labels()},
                        {"unnamed_poller", unnamed_},
                        {"unreadable_probe_site", own.unreadable_sites},
                        {"untrusted_interpreter", own.untrusted_files}};
  auto sources = source_requests_.counts();
  snapshot.discarded.insert(snapshot.discarded.end(),
                            {{"source_of_other_program", source_requests_.discarded()},
                             {"source_reader_hung", sources.hung},
                             {"source_reader_died", sources.died},
                             {"source_reader_restarted", sources.restarted}});
  snapshot.ready = true;
  return snapshot;
}

}  // namespace loopsight
