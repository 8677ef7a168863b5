# class: robust
# tries: a core limit above 0, which makes the host's core_pattern program run
# must: the hard limit is 0
import resource

hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
if hard != 0:
    escaped("hard core limit %d" % hard)
held()
