-- For wrk: POST /events, 100 new events of users drawn at random at a time.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

local users, products, round, n
local event = '{"event_id":"%s-%d","event_time":"%s","event_type":"view",'
  .. '"user_id":"u%08d","product_id":"p%08d"}'

function init(args)
  users, products, round, day, n = tonumber(args[1]), tonumber(args[2]), args[3], args[4], 0
  math.randomseed(1)
end

function request()
  local events = {}
  for place = 1, 100 do
    n = n + 1
    events[place] = string.format(
      event, round, n, day, math.random(0, users - 1), math.random(0, products - 1))
  end
  return wrk.format(nil, nil, nil, '{"events":[' .. table.concat(events, ",") .. "]}")
end
