"""Kubernetes: Jobs, CronJobs and the Pods of Jobs, listed once and watched from there on (docs/kubernetes.md).

`source` is the configuration and asks, `decode` turns Jobs and CronJobs into facts, `pods` what Pods tell of them.
"""

from collectors.kubernetes.source import Kubernetes, KubernetesConfig, KubernetesSource, PolledKubernetes

__all__ = ["Kubernetes", "KubernetesConfig", "KubernetesSource", "PolledKubernetes"]
