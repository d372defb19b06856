"""The shipped task sets. A profile names one or more of them, or spells its own tasks out."""

from coe_ray.core.types import Task

DEVOPS_EVAL_A = (
    Task("Log Parser", "turn a raw log line into its template, or pick fields out of log text"),
    Task("Root Cause Analysis", "find the service, change or fault that caused an incident with its symptoms"),
    Task("Time Series Anomaly Detection", "find which points of a list of metric values are abnormal, if any"),
    Task("Time Series Classification", "name the kind of pattern that a list of metric values shows"),
    Task("Time Series Forecasting", "predict the next values of a list of metric values"),
)
"""Task Set A of the paper: five low-level AIOps tasks, DevOps-Eval's English part."""

DEVOPS_EVAL_B = (
    Task("Build", "version control, dependencies, compiling and packaging software (构建)"),
    Task("Code", "programming languages, software design, databases, networks, computer science (编码)"),
    Task("Deploy", "infrastructure as code, provisioning, configuration management, cloud services (部署)"),
    Task("Monitor", "dashboards, logging, metrics storage and data acquisition (监控)"),
    Task("Operate", "container orchestration, virtualization and running systems in production (运维)"),
    Task("Plan", "requirements, progress and risk management of a project (规划)"),
    Task("Release", "continuous integration and delivery, artifact management, release strategies (发布)"),
    Task("Test", "unit, integration, system, performance, security and acceptance testing (测试)"),
)
"""Task Set B of the paper: the eight phases of the life cycle; questions in English and Chinese."""

OPSEVAL = (
    Task("5G Communication", "5G mobile networks: protocols, network elements, radio, slicing, voice"),
    Task("Log Analysis", "logs: collecting, parsing, searching, alerting and finding faults in them (日志)"),
    Task("Oracle Database", "Oracle database: SQL, tables, transactions, administration"),
    Task("Wired Network", "wired networks: routing, switching, cabling, IP addressing, network devices"),
)
"""OpsEval's four tasks of which a part is public."""

TASK_SETS: dict[str, tuple[Task, ...]] = {
    "devops-eval-a": DEVOPS_EVAL_A,
    "devops-eval-b": DEVOPS_EVAL_B,
    "opseval": OPSEVAL,
}
