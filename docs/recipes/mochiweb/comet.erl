%% A comet server on mochiweb, as the articles have it: one Erlang process for each connection, which hibernates between messages.
%%   GET  /test/ID   holds a chunked response; each message is a chunk of it
%%   POST /send/ID   sends the body to whoever is logged in under ID
-module(comet).
-export([start/1, handle/1, feed/3]).

%% Who starts router and listener stays: both end with him.
start(Port) ->
    spawn(fun() ->
        {ok, _} = application:ensure_all_started(crypto),
        {ok, _} = application:ensure_all_started(mochiweb),
        {ok, _} = router:start_link(),
        {ok, _} = mochiweb_http:start([{name, comet}, {ip, "127.0.0.1"}, {port, Port}, {backlog, 4096}, {max, 1000000},
                                       {loop, {?MODULE, handle}}]),
        receive stop -> ok end
    end).

handle(Req) ->
    case {mochiweb_request:get(method, Req), mochiweb_request:get(path, Req)} of
        {'GET', "/test/" ++ Id} ->
            Response = mochiweb_request:ok({"text/html; charset=utf-8", [], chunked}, Req),
            router:login(list_to_integer(Id), self()),
            proc_lib:hibernate(?MODULE, feed, [Response, Id, 1]);
        {'POST', "/send/" ++ Id} ->
            router:send(list_to_integer(Id), mochiweb_request:recv_body(Req)),
            mochiweb_request:ok({"text/plain", "ok"}, Req);
        _ ->
            mochiweb_request:not_found(Req)
    end.

%% hibernate throws the stack away and collects all garbage: what is left of a process that waits is a few hundred words.
feed(Response, Id, N) ->
    receive
        {router_msg, Msg} ->
            mochiweb_response:write_chunk(io_lib:format("Recvd msg #~w: '~s'<br/>", [N, Msg]), Response)
    end,
    proc_lib:hibernate(?MODULE, feed, [Response, Id, N + 1]).
