%% Who is logged in under which id: two tables, one for each direction, and a link to each process, so that its end is a logout.
-module(router).
-behaviour(gen_server).
-export([start_link/0, login/2, send/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

start_link() -> gen_server:start_link({global, ?MODULE}, ?MODULE, [], []).
login(Id, Pid) -> gen_server:call({global, ?MODULE}, {login, Id, Pid}).
send(Id, Msg) -> gen_server:call({global, ?MODULE}, {send, Id, Msg}).

init([]) ->
    process_flag(trap_exit, true),
    {ok, {ets:new(ids, [bag]), ets:new(pids, [bag])}}.

handle_call({login, Id, Pid}, _From, State = {Ids, Pids}) ->
    ets:insert(Ids, {Id, Pid}),
    ets:insert(Pids, {Pid, Id}),
    link(Pid),
    {reply, ok, State};
handle_call({send, Id, Msg}, _From, State = {Ids, _}) ->
    [Pid ! {router_msg, Msg} || {_, Pid} <- ets:lookup(Ids, Id)],
    {reply, ok, State}.

handle_cast(_, State) -> {noreply, State}.

handle_info({'EXIT', Pid, _Why}, State = {Ids, Pids}) ->
    [ets:delete_object(Ids, {Id, Pid}) || {_, Id} <- ets:lookup(Pids, Pid)],
    ets:delete(Pids, Pid),
    {noreply, State}.
