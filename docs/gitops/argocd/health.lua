-- How Argo CD judges an IngestJob. What is over is healthy or degraded for good; what somebody must see to is degraded, also
-- while its workers go on.
local status = obj.status or {}

-- The condition of this type, where it holds.
local function holds(kind)
  for _, condition in ipairs(status.conditions or {}) do
    if condition.type == kind and condition.status == "True" then
      return condition
    end
  end
  return nil
end

local function judge(health, condition)
  return { status = health, message = condition.message }
end

local observed = status.observedGeneration
if observed == nil or observed ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not seen this version of the job yet" }
end
local stalled = holds("Stalled") or holds("Failed")
if stalled then
  return judge("Degraded", stalled)
end
local complete = holds("Complete")
if complete then
  return judge("Healthy", complete)
end
local suspended = holds("Suspended")
if suspended then
  return judge("Suspended", suspended)
end
return judge("Progressing", holds("Reconciling") or { message = "at work" })
